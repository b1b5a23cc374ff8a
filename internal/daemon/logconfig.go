package daemon

import (
	"time"

	"signalbox/internal/config"
	"signalbox/internal/eventlog"
)

// logConfig is the log's configuration.
func logConfig(cfg *config.Config, data string) (eventlog.Config, error) {
	lc := eventlog.DefaultConfig(data)
	lc.MaxAge, lc.MaxBytes, lc.MinFree = time.Duration(cfg.Log.MaxAge), int64(cfg.Log.MaxBytes), int64(cfg.Log.MinFree)
	lc.BatchRecords, lc.QueueRecords, lc.QueueBytes = cfg.Log.BatchRecords, cfg.Log.QueueRecords, int(cfg.Log.QueueBytes)
	lc.PublishTimeout = time.Duration(cfg.Log.PublishTimeout)
	for _, r := range cfg.Log.AcceptDamage {
		lc.AcceptDamage = append(lc.AcceptDamage, eventlog.Range{From: r.From, To: r.To})
	}
	if cfg.NATS.URL.IsZero() {
		return lc, nil
	}
	url, err := cfg.NATS.URL.Value()
	if err != nil {
		return lc, err
	}
	lc.URL, lc.Credentials, lc.CA = url, cfg.Resolve(cfg.NATS.Creds), cfg.Resolve(cfg.NATS.CA)
	lc.Cert, lc.Key = cfg.Resolve(cfg.NATS.Cert), cfg.Resolve(cfg.NATS.Key)
	if cfg.NATS.Replicas > 0 {
		lc.Replicas = cfg.NATS.Replicas
	}
	return lc, nil
}
