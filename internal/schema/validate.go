package schema

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"signalbox/event"
	"signalbox/internal/schema/scan"
)

// MaxName is the longest type, device and interface in bytes: a host name of
// RFC 1123 fits.
const MaxName = 255

// Bounds of an event, whatever its type.
const (
	maxDepth  = 32      // nesting of data, the object itself counted
	maxData   = 1 << 20 // bytes of data: what a batch of the log holds
	maxSender = 1024    // bytes of a sender's id
)

// Error says which field of an event is wrong, as in "data.interface: is
// required".
type Error struct {
	Field string // "type", "device", "data", "data.neighbor"
	Msg   string
}

func (e *Error) Error() string { return e.Field + ": " + e.Msg }

// Validate checks an event's envelope and, where its type is in the catalogue,
// its data by the type's schema. A type that the catalogue does not have
// passes with any data: users' systems send types of their own, and a schema
// can follow. The error is an *Error, for the first mistake found.
func (c *Catalogue) Validate(ev *event.Event) error {
	if err := validateEnvelope(ev); err != nil {
		return err
	}
	if len(ev.Data) > 0 {
		if err := scan.Check(ev.Data, maxDepth); err != nil {
			return &Error{"data", err.Error()}
		}
	}
	return c.validateData(ev)
}

// ValidateWritten is Validate for data that the caller has written itself and
// knows to be JSON: it is not read through once more for that.
func (c *Catalogue) ValidateWritten(ev *event.Event) error {
	if err := validateEnvelope(ev); err != nil {
		return err
	}
	return c.validateData(ev)
}

func (c *Catalogue) validateData(ev *event.Event) error {
	e, ok := c.types[ev.Type]
	if !ok {
		return nil
	}
	data := []byte(ev.Data)
	if len(data) == 0 {
		data = []byte("{}")
	}
	if e.fast != nil {
		if v := e.fast.validate(data); v.found() {
			return &Error{Field: join("data", v.path), Msg: v.msg}
		}
		return nil
	}
	return validateFull(e.full, data)
}

func validateEnvelope(ev *event.Event) error {
	switch {
	case ev.Type == "":
		return &Error{"type", "is required"}
	case !ValidType(ev.Type):
		return &Error{"type", fmt.Sprintf("%s is no name of an event type: use snake_case as in interface_down, or a dotted name as in com.example.thing", quote([]byte(ev.Type)))}
	}
	for _, f := range []struct{ name, val string }{{"device", ev.Device}, {"interface", ev.Interface}} {
		if err := validateText(f.name, f.val, MaxName); err != nil {
			return err
		}
	}
	if err := validateText("id", ev.SenderID, maxSender); err != nil {
		return err
	}
	if len(ev.Data) == 0 {
		return nil
	}
	if len(ev.Data) > maxData {
		return &Error{"data", fmt.Sprintf("%d bytes are more than the %d that an event may have", len(ev.Data), maxData)}
	}
	if ev.Data[0] != '{' {
		return &Error{"data", "expected an object"}
	}
	return nil
}

func validateText(name, s string, most int) error {
	if len(s) > most {
		return &Error{name, fmt.Sprintf("is longer than %d bytes", most)}
	}
	ascii := true
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f {
			return &Error{name, "has a control character in it"}
		}
		ascii = ascii && s[i] < utf8.RuneSelf
	}
	if !ascii && !utf8.ValidString(s) {
		return &Error{name, "is not valid UTF-8"}
	}
	return nil
}

// ValidType says whether s can be the name of an event type: snake_case, or a
// dotted CloudEvents type such as com.github.push. Letters, digits and "_.-",
// beginning with a letter, at most 255 bytes.
func ValidType(s string) bool {
	if s == "" || len(s) > MaxName {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
		case i > 0 && (c >= '0' && c <= '9' || c == '_' || c == '.' || c == '-' || c == '/' || c == ':'):
		default:
			return false
		}
	}
	return true
}

func validateFull(s *jsonschema.Schema, data []byte) error {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return &Error{"data", err.Error()}
	}
	err = s.Validate(v)
	var invalid *jsonschema.ValidationError
	if errors.As(err, &invalid) {
		for len(invalid.Causes) > 0 {
			invalid = invalid.Causes[0]
		}
		return &Error{join("data", strings.Join(invalid.InstanceLocation, ".")), lastLine(invalid.Error())}
	}
	if err != nil {
		return &Error{"data", err.Error()}
	}
	return nil
}

// lastLine keeps what the library says about the field; the lines before name
// the schema's address, which is ours to know.
func lastLine(s string) string {
	s = s[strings.LastIndexByte(s, '\n')+1:]
	if _, after, ok := strings.Cut(s, "': "); ok {
		s = after
	}
	return clip([]byte(s))
}

func join(a, b string) string {
	if b == "" {
		return a
	}
	return a + "." + b
}
