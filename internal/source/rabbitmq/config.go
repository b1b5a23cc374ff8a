package rabbitmq

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"signalbox/internal/secret"
)

// Config sets up one consumer of one queue. Start from DefaultConfig: the zero
// value is not usable.
type Config struct {
	// URL is amqp:// or amqps://user:password@host:port/vhost. It carries a
	// password, so it is a secret and never shown.
	URL secret.Ref `yaml:"url"`
	// Vhost stands in for the URL's, without the escaping that URLs need.
	Vhost string `yaml:"vhost"`
	Queue string `yaml:"queue"`
	// Name is the connection's name in RabbitMQ's own tools, by default
	// "signalbox/<source>".
	Name string `yaml:"name"`

	// Declare makes what is missing of queue, exchanges, bindings and
	// dead-letter exchange; a queue that exists is taken as it is, whoever
	// declared it. With false everything is only checked to be there.
	Declare bool `yaml:"declare"`
	// Type and Durable are those of a queue that has to be made: classic (the
	// default, and what a sender means that declares the queue too) or quorum.
	Type     string    `yaml:"type"`
	Durable  bool      `yaml:"durable"`
	Bindings []Binding `yaml:"bindings"`
	// DeadLetter is where messages go that cannot become events.
	DeadLetter DeadLetter `yaml:"dead_letter"`

	// Prefetch bounds the messages that are taken and not yet acknowledged: the
	// backpressure towards the broker.
	Prefetch  int           `yaml:"prefetch"`
	TLS       TLS           `yaml:"tls"`
	Heartbeat time.Duration `yaml:"heartbeat"`

	// Mapping names the mapping of the messages; without one they are read in
	// Signalbox's own form.
	Mapping string `yaml:"mapping"`
	// Headers are kept with the event, for mappings that read them, beside
	// exchange, routing_key, type and app_id.
	Headers   []string `yaml:"headers"`
	MaxEvents int      `yaml:"max_events"` // events in one message
	MaxEvent  int      `yaml:"max_event"`  // bytes of one event
	MaxBody   int      `yaml:"max_body"`   // bytes of one message
}

// Binding ties the queue to an exchange, which is declared durable.
type Binding struct {
	Exchange   string `yaml:"exchange"`
	Type       string `yaml:"type"` // topic (default), direct, fanout or headers
	RoutingKey string `yaml:"routing_key"`
}

// DeadLetter names the exchange that takes messages which cannot become events.
// With Declare and no name it is "<queue>.dead-letter", with a queue of the
// same name bound to it. With neither, such a message is rejected without a
// reason, and RabbitMQ routes it as the queue's own policy says.
type DeadLetter struct {
	Exchange   string `yaml:"exchange"`
	Queue      string `yaml:"queue"`       // declared and bound where Declare is set
	RoutingKey string `yaml:"routing_key"` // default: the message's own
}

// TLS adds to an amqps URL. Paths are relative to the configuration file.
type TLS struct {
	CA         string `yaml:"ca"`   // PEM; default: the system's
	Cert       string `yaml:"cert"` // PEM; our own certificate
	Key        string `yaml:"key"`
	ServerName string `yaml:"server_name"` // expected in the broker's certificate; default: the URL's host
}

// DefaultConfig consumes a durable queue.
func DefaultConfig() Config {
	return Config{
		Declare: true, Type: "classic", Durable: true, Prefetch: 512, Heartbeat: 10 * time.Second,
		MaxEvents: 1000, MaxEvent: 256 << 10, MaxBody: 8 << 20,
	}
}

// Validate reports every problem at once. It does not resolve the URL; New
// does.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.URL.IsZero() {
		bad("url: is missing: amqp://user:password@host:5672/vhost")
	}
	if c.Queue == "" {
		bad("queue: is missing: name the queue to consume")
	}
	if len(c.Queue) > 255-len(deadSuffix) {
		bad("queue: the name has %d bytes, more than AMQP's 255 with %q behind it", len(c.Queue), deadSuffix)
	}
	switch c.Type {
	case "classic":
	case "quorum":
		if !c.Durable {
			bad("durable: a quorum queue is always durable")
		}
	default:
		bad("type: %q is not known: classic or quorum", c.Type)
	}
	for i, b := range c.Bindings {
		if b.Exchange == "" {
			bad("bindings[%d].exchange: is missing", i)
		}
		switch b.Type {
		case "", "topic", "direct", "fanout", "headers":
		default:
			bad("bindings[%d].type: %q is not known: topic, direct, fanout or headers", i, b.Type)
		}
	}
	if c.DeadLetter.Queue != "" && c.DeadLetter.Exchange == "" {
		bad("dead_letter.queue: needs dead_letter.exchange")
	}
	if c.Prefetch < 1 || c.Prefetch > 65535 {
		bad("prefetch: %d is not between 1 and 65535", c.Prefetch)
	}
	if c.Heartbeat < time.Second {
		bad("heartbeat: %v is below 1s", c.Heartbeat)
	}
	if (c.TLS.Cert == "") != (c.TLS.Key == "") {
		bad("tls: cert and key belong together")
	}
	if c.MaxEvents < 1 {
		bad("max_events: %d must be more than 0", c.MaxEvents)
	}
	if c.MaxEvent < 1 {
		bad("max_event: %d must be more than 0", c.MaxEvent)
	}
	if c.MaxBody < c.MaxEvent {
		bad("max_body: %d is below max_event (%d)", c.MaxBody, c.MaxEvent)
	}
	return errors.Join(errs...)
}

const deadSuffix = ".dead-letter"

// withDeadLetter fills in the dead-letter exchange that is made by default.
func (c Config) withDeadLetter() Config {
	if c.Declare && c.DeadLetter.Exchange == "" {
		c.DeadLetter.Exchange = c.Queue + deadSuffix
		c.DeadLetter.Queue = c.Queue + deadSuffix
	}
	return c
}

func orTopic(kind string) string {
	if kind == "" {
		return "topic"
	}
	return strings.ToLower(kind)
}
