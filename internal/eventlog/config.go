package eventlog

import (
	"errors"
	"fmt"
	"time"

	"signalbox/internal/record"
)

// Range is a stretch of stream sequences, both ends included.
type Range struct {
	From uint64 `json:"from" yaml:"from"`
	To   uint64 `json:"to" yaml:"to"`
}

// Config sets up the log. Start from DefaultConfig: the zero value is not
// usable.
type Config struct {
	// Dir is the data directory: the node's name, the lock, the checkpoint
	// and, embedded, the stream itself (in jetstream/).
	Dir string `yaml:"-"`

	// URL of NATS servers with JetStream; "" runs one in this process.
	URL         string `yaml:"url"`
	Credentials string `yaml:"credentials"` // path of a NATS credentials file
	CA          string `yaml:"ca"`          // path of a PEM file of authorities to trust
	Cert, Key   string `yaml:",omitempty"`  // paths of a client certificate
	Replicas    int    `yaml:"replicas"`    // of a stream that is created on URL

	// What is kept: the log's oldest batches leave when either is reached.
	MaxAge   time.Duration `yaml:"-"`
	MaxBytes int64         `yaml:"-"`

	// A batch is what is waiting when the one before is on disk, up to these.
	BatchRecords int `yaml:"-"`
	BatchBytes   int `yaml:"-"`
	// What may wait per subject before Append blocks.
	QueueRecords int `yaml:"-"`
	QueueBytes   int `yaml:"-"`

	// PublishTimeout is how long a batch may take to be on disk; after that
	// the log is taken to be broken. A healthy disk takes milliseconds, but a
	// starved machine was seen to take more than five seconds.
	PublishTimeout time.Duration `yaml:"-"`
	// MinFree is the free space in bytes below which events are refused; what
	// is left is for the journal of runs under way. 0 is 2 % of the disk, at
	// least 512 MiB and at most 4 GiB; negative is no guard.
	MinFree int64 `yaml:"-"`
	// ScrubBytes is how many bytes a second the background scrub reads; 0 is
	// no scrub. ScrubEvery is the time from the end of one to the next.
	ScrubBytes int           `yaml:"-"`
	ScrubEvery time.Duration `yaml:"-"`

	// AcceptDamage are sequences whose loss a person has accepted.
	AcceptDamage []Range `yaml:"accept_damage"`

	// Undone tells the oldest position that is not yet decided and done:
	// nothing from there on may leave the log. The zero Position means that it
	// is not known (nothing is held back). Optional.
	Undone func() record.Position `yaml:"-"`
	// OnCorrupt is told of damage that was found, once each. Optional; it must
	// not block.
	OnCorrupt func(*CorruptError) `yaml:"-"`
	Metrics   Metrics             `yaml:"-"` // optional
}

// Metrics is told what the log does. Its methods must be cheap and safe for
// many goroutines.
type Metrics interface {
	// Appended tells of a batch that is on disk: its records, its bytes as
	// written, and how long the write took. Of one with records of several
	// subjects it is told once for each, with their share of the bytes.
	Appended(subject record.Subject, records, bytes int, took time.Duration)
	// Restarted tells that the log was broken and works again.
	Restarted()
}

type noMetrics struct{}

func (noMetrics) Appended(record.Subject, int, int, time.Duration) {}
func (noMetrics) Restarted()                                       {}

// DefaultConfig is the configuration of an embedded log in dir.
func DefaultConfig(dir string) Config {
	return Config{
		Dir:            dir,
		Replicas:       1,
		MaxAge:         30 * 24 * time.Hour,
		MaxBytes:       4 << 30,
		BatchRecords:   1024,
		BatchBytes:     1 << 20,
		QueueRecords:   16 << 10,
		QueueBytes:     32 << 20,
		PublishTimeout: 10 * time.Second,
		ScrubBytes:     8 << 20,
		ScrubEvery:     24 * time.Hour,
	}
}

// Validate reports every problem.
func (c Config) Validate() error {
	var errs []error
	bad := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	bad(c.Dir == "", "dir: the data directory is not set")
	bad(c.MaxBytes < 1<<20, "max_bytes: %d is below 1 MiB", c.MaxBytes)
	bad(c.MaxAge < 0 || c.MaxAge > 0 && c.MaxAge < time.Minute, "max_age: %s is below a minute", c.MaxAge)
	bad(c.BatchRecords < 1 || c.BatchRecords > 65536, "batch_records: %d is not in 1 to 65536", c.BatchRecords)
	bad(c.BatchBytes < 1<<10 || c.BatchBytes > maxRecord, "batch_bytes: %d is not in 1 KiB to %d", c.BatchBytes, maxRecord)
	bad(c.QueueRecords < c.BatchRecords, "queue_records: %d is below batch_records (%d)", c.QueueRecords, c.BatchRecords)
	bad(c.QueueBytes < c.BatchBytes, "queue_bytes: %d is below batch_bytes (%d)", c.QueueBytes, c.BatchBytes)
	bad(c.PublishTimeout <= 0, "publish_timeout: %s is not positive", c.PublishTimeout)
	bad((c.Cert == "") != (c.Key == ""), "cert and key: one without the other")
	bad(c.URL == "" && (c.Credentials != "" || c.CA != "" || c.Cert != ""), "credentials, ca and cert are for an external log: url is not set")
	for _, r := range c.AcceptDamage {
		bad(r.From == 0 || r.To < r.From, "accept_damage: %d to %d is no stretch", r.From, r.To)
	}
	return errors.Join(errs...)
}

const (
	streamName = "LOG"

	// maxRecord bounds one record, and maxMessage what the server takes: a
	// record, its batch and JetStream's headers. 8 MiB is the most that
	// JetStream advises.
	maxRecord  = 7 << 20
	maxMessage = 8 << 20
)

func (c Config) embedded() bool { return c.URL == "" }

func (c Config) metrics() Metrics {
	if c.Metrics == nil {
		return noMetrics{}
	}
	return c.Metrics
}
