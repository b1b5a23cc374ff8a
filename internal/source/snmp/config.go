package snmp

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"go.yaml.in/yaml/v4"

	"signalbox/internal/secret"
	"signalbox/internal/source"
)

// Config sets up one trap source. Start from DefaultConfig: the zero value is
// not usable.
type Config struct {
	// Listen is one UDP address or a list of them.
	Listen Addresses `yaml:"listen"`

	// Communities are what a v1 or v2c message may carry. With none, v1 and
	// v2c are refused, except for two cases: AllowAnyCommunity, and a source
	// that has neither communities nor users and listens on loopback only.
	Communities       []secret.Ref `yaml:"communities"`
	AllowAnyCommunity bool         `yaml:"allow_any_community"`

	// Users are those of SNMPv3.
	Users []User `yaml:"users"`
	// EngineID is ours, in hex, which informs are sent to. Without it one is
	// made, and stays the same over restarts.
	EngineID string `yaml:"engine_id"`

	// MIBs is a folder of MIB files for this source alone, whose names are added
	// to those in the binary. Without it the notification is read with the names
	// that all sources share.
	MIBs string `yaml:"mibs"`
	// ReadBuffer is what the kernel may hold for each socket, in bytes, while
	// the log is behind. The kernel's limit (net.core.rmem_max) holds.
	ReadBuffer int `yaml:"read_buffer"`

	// StateDir is where the engine's id and its count of starts are kept. It
	// is set by Signalbox; without it both are made of the machine's id and
	// the clock.
	StateDir string `yaml:"-"`
}

// User is one user of SNMPv3's user-based security model (RFC 3414).
type User struct {
	Name string   `yaml:"name"`
	Auth Protocol `yaml:"auth"` // MD5, SHA, SHA224, SHA256, SHA384, SHA512
	Priv Protocol `yaml:"priv"` // DES, AES, AES192, AES256, AES192C, AES256C
	// Level is the least that is accepted from the user: noAuthNoPriv,
	// authNoPriv or authPriv. Without it, it is all that the user has secrets
	// for. noAuthNoPriv must be written, so that nobody gets it by mistake.
	Level string `yaml:"level"`
	// EngineID, in hex, takes the user's traps from this engine only.
	EngineID string `yaml:"engine_id"`
}

// Protocol is an algorithm and the password that its key is made of.
type Protocol struct {
	Protocol string     `yaml:"protocol"`
	Secret   secret.Ref `yaml:"secret"`
}

// Addresses is one address or a list of them.
type Addresses []string

// UnmarshalYAML takes a string or a list of strings.
func (a *Addresses) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		*a = Addresses{n.Value}
		return nil
	}
	var list []string
	if err := n.Decode(&list); err != nil {
		return errors.New("want host:port or a list of them")
	}
	*a = list
	return nil
}

// DefaultConfig listens on loopback, on a port that needs no privilege.
func DefaultConfig() Config {
	return Config{Listen: Addresses{"127.0.0.1:1162"}, ReadBuffer: 8 << 20}
}

// Validate reports every problem.
func (c Config) Validate() error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if len(c.Listen) == 0 {
		add("listen: no address")
	}
	for _, l := range c.Listen {
		if err := source.CheckListen(l); err != nil {
			add("listen: %w", err)
		}
	}
	if len(c.Communities) == 0 && len(c.Users) == 0 && !c.AllowAnyCommunity && !c.loopback() {
		add("neither communities nor users, and %s is not on loopback: name who may send, or say allow_any_community: true",
			strings.Join(c.Listen, ", "))
	}
	if len(c.Communities) > 0 && c.AllowAnyCommunity {
		add("allow_any_community: true makes communities meaningless: leave one out")
	}
	for i, r := range c.Communities {
		if r.IsZero() {
			add("communities[%d]: empty", i)
		}
	}
	if c.ReadBuffer < 0 {
		add("read_buffer: %d is negative", c.ReadBuffer)
	}
	if _, err := engineIDOf(c.EngineID); err != nil {
		add("engine_id: %w", err)
	}
	seen := map[string]bool{}
	for i, u := range c.Users {
		key := u.Name + "\x00" + strings.ToLower(u.EngineID)
		if seen[key] {
			add("users[%d]: %s is there already", i, u.Name)
		}
		seen[key] = true
		if err := u.validate(); err != nil {
			add("users[%d] (%s): %w", i, u.Name, err)
		}
	}
	return errors.Join(errs...)
}

func (u User) validate() error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if u.Name == "" || len(u.Name) > 32 {
		add("name: want 1 to 32 characters")
	}
	has := levelNone
	if u.Auth.Protocol != "" || !u.Auth.Secret.IsZero() {
		has = levelAuth
		if authOf(u.Auth.Protocol) == nil {
			add("auth.protocol: %q is none of MD5, SHA, SHA224, SHA256, SHA384, SHA512", u.Auth.Protocol)
		}
		if u.Auth.Secret.IsZero() {
			add("auth.secret: missing")
		}
	}
	if u.Priv.Protocol != "" || !u.Priv.Secret.IsZero() {
		if has == levelNone {
			add("priv: needs auth (RFC 3414 has no privacy without it)")
		}
		has = levelPriv
		if privOf(u.Priv.Protocol) == nil {
			add("priv.protocol: %q is none of DES, AES, AES192, AES256, AES192C, AES256C", u.Priv.Protocol)
		}
		if u.Priv.Secret.IsZero() {
			add("priv.secret: missing")
		}
	}
	level, ok := levelOf(u.Level)
	switch {
	case !ok:
		add("level: %q is none of noAuthNoPriv, authNoPriv, authPriv", u.Level)
	case u.Level == "" && has == levelNone:
		add("no auth: give auth, or say level: noAuthNoPriv to take what anybody sends in this name")
	case u.Level != "" && level > has:
		add("level: %s needs %s", u.Level, map[secLevel]string{levelAuth: "auth", levelPriv: "auth and priv"}[level])
	}
	if _, err := engineIDOf(u.EngineID); err != nil {
		add("engine_id: %w", err)
	}
	return errors.Join(errs...)
}

// loopback says whether all addresses are on this machine only.
func (c Config) loopback() bool {
	for _, l := range c.Listen {
		host, _, err := net.SplitHostPort(l)
		if err != nil {
			return false
		}
		ip, err := netip.ParseAddr(host)
		if host != "localhost" && (err != nil || !ip.IsLoopback()) {
			return false
		}
	}
	return true
}

// anyCommunity says whether v1 and v2c messages are taken whatever their
// community is.
func (c Config) anyCommunity() bool {
	return c.AllowAnyCommunity || len(c.Communities) == 0 && len(c.Users) == 0 && c.loopback()
}

// engineIDOf reads an engine id in hex, perhaps after 0x; "" for "".
func engineIDOf(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	b, err := hex.DecodeString(strings.ReplaceAll(strings.TrimPrefix(strings.ToLower(s), "0x"), ":", ""))
	if err != nil {
		return "", fmt.Errorf("%q is not hex", s)
	}
	if len(b) < 5 || len(b) > 32 {
		return "", fmt.Errorf("%d bytes: want 5 to 32 (RFC 3411)", len(b))
	}
	return string(b), nil
}

// secLevel is a security level: what a message has, or what a user must have.
type secLevel uint8

const (
	levelNone secLevel = 0 // noAuthNoPriv
	levelAuth secLevel = 1 // authNoPriv
	levelPriv secLevel = 3 // authPriv; the flags' own bits
)

func levelOf(s string) (secLevel, bool) {
	switch strings.ToLower(s) {
	case "", "noauthnopriv":
		return levelNone, true
	case "authnopriv":
		return levelAuth, true
	case "authpriv":
		return levelPriv, true
	}
	return 0, false
}

func (l secLevel) String() string {
	switch l {
	case levelNone:
		return "noAuthNoPriv"
	case levelAuth:
		return "authNoPriv"
	}
	return "authPriv"
}
