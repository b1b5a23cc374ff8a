package rule

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/encoding/protowire"

	"signalbox/internal/inventory"
)

// File is one file of a bundle: its name for messages, and its bytes.
type File = inventory.File

// Bundle is everything that decisions depend on, as it was written. It goes
// into the log whole, so that every reader decides by the same one.
type Bundle struct {
	Rules     []File // rule files; rules are tried in this order of files
	Inventory []File
	// Types are event types beside the built-in catalogue (JSON Schemas), and
	// Catalogue the version of the built-in one.
	Types     []File
	Catalogue string
	Global    Global
	// Redelivery is how long a source and a sender's id are remembered. 0 is
	// DefaultRedelivery.
	Redelivery time.Duration
}

// Global is what the configuration says of all rules: the dedup that every event
// goes through before they do, and how much they may start together.
type Global struct {
	Off    bool
	By     []string      // event, type, device, interface, or CEL; empty: the default key
	Within time.Duration // 0: DefaultWithin
	Limits []GlobalLimit // of what all rules start
}

// What holds where nothing is configured.
const (
	DefaultWithin = 60 * time.Second
	// DefaultRedelivery outlasts a night's outage: a broker gives a message that
	// was logged and not yet acknowledged when we died again when we are back,
	// and an emit step that was under way is repeated then.
	DefaultRedelivery = 24 * time.Hour
	DefaultTimeout    = 5 * time.Minute
)

const (
	bundleMagic = "signalbox bundle 1\n"
	// maxBundle bounds what a bundle inflates to.
	maxBundle = 256 << 20
)

// Field numbers of the archive (Protocol Buffers wire format). They are on
// disk: never change one, never use one again.
const (
	fieldRules      = 1 // a file: name 1, data 2
	fieldInventory  = 2
	fieldTypes      = 3
	fieldCatalogue  = 4
	fieldOff        = 5
	fieldBy         = 6
	fieldWithin     = 7 // ns
	fieldRedelivery = 8 // ns
	fieldLimit      = 9 // a limit: runs 1, devices 2, by 3

	fieldName = 1
	fieldData = 2

	fieldLimitRuns    = 1
	fieldLimitDevices = 2
	fieldLimitBy      = 3
)

// archive is the bundle as bytes: the same bundle, the same bytes. The order
// of files means something (rules are tried in it), so it is kept.
func (b Bundle) archive() []byte {
	out := []byte(bundleMagic)
	files := func(field protowire.Number, list []File) {
		for _, f := range list {
			var msg []byte
			msg = appendBytes(msg, fieldName, []byte(f.Name))
			msg = appendBytes(msg, fieldData, f.Data)
			out = appendBytes(out, field, msg)
		}
	}
	files(fieldRules, b.Rules)
	files(fieldInventory, b.Inventory)
	files(fieldTypes, b.Types)
	out = appendBytes(out, fieldCatalogue, []byte(b.Catalogue))
	out = appendVarint(out, fieldOff, protowire.EncodeBool(b.Global.Off))
	for _, by := range b.Global.By {
		out = appendBytes(out, fieldBy, []byte(by))
	}
	out = appendVarint(out, fieldWithin, uint64(b.Global.Within))
	out = appendVarint(out, fieldRedelivery, uint64(b.Redelivery))
	for _, l := range b.Global.Limits {
		out = appendBytes(out, fieldLimit, l.archive())
	}
	return out
}

func appendBytes(out []byte, field protowire.Number, data []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(out, field, protowire.BytesType), data)
}

func appendVarint(out []byte, field protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(out, field, protowire.VarintType), v)
}

// Version names the bundle's content: 16 hex digits of the SHA-256 of its
// archive, before compression, so that a newer compressor changes nothing.
func (b Bundle) Version() string {
	sum := sha256.Sum256(b.archive())
	return hex.EncodeToString(sum[:8])
}

// InventoryVersion names the inventory alone.
func (b Bundle) InventoryVersion() string { return Bundle{Inventory: b.Inventory}.Version() }

var encoder = sync.OnceValues(func() (*zstd.Encoder, error) {
	return zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
})

// Encode writes the bundle: its archive, compressed with zstd.
func (b Bundle) Encode() []byte {
	enc, err := encoder()
	if err != nil { // no option of ours can be wrong
		panic(fmt.Sprintf("rule: zstd: %v", err))
	}
	return enc.EncodeAll(b.archive(), nil)
}

var errBundle = errors.New("not a bundle of rules, or of a newer version")

// DecodeBundle reads what Encode wrote.
func DecodeBundle(data []byte) (Bundle, error) {
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxBundle))
	if err != nil {
		return Bundle{}, fmt.Errorf("bundle: %w", err)
	}
	defer dec.Close()
	raw, err := dec.DecodeAll(data, nil)
	if err != nil {
		return Bundle{}, fmt.Errorf("bundle: %w", err)
	}
	rest, ok := bytes.CutPrefix(raw, []byte(bundleMagic))
	if !ok {
		return Bundle{}, errBundle
	}
	var b Bundle
	err = eachField(rest, func(field protowire.Number, v uint64, data []byte) error {
		switch field {
		case fieldRules:
			return appendFile(&b.Rules, data)
		case fieldInventory:
			return appendFile(&b.Inventory, data)
		case fieldTypes:
			return appendFile(&b.Types, data)
		case fieldCatalogue:
			b.Catalogue = string(data)
		case fieldOff:
			b.Global.Off = protowire.DecodeBool(v)
		case fieldBy:
			b.Global.By = append(b.Global.By, string(data))
		case fieldWithin:
			b.Global.Within = time.Duration(v)
		case fieldRedelivery:
			b.Redelivery = time.Duration(v)
		case fieldLimit:
			return b.Global.appendLimit(data)
		}
		return nil
	})
	return b, err
}

func (l *GlobalLimit) archive() (msg []byte) {
	msg = appendBytes(msg, fieldLimitRuns, []byte(l.Runs))
	msg = appendBytes(msg, fieldLimitDevices, []byte(l.Devices))
	for _, by := range l.By {
		msg = appendBytes(msg, fieldLimitBy, []byte(by))
	}
	return msg
}

func (g *Global) appendLimit(data []byte) error {
	var l GlobalLimit
	err := eachField(data, func(field protowire.Number, _ uint64, data []byte) error {
		switch field {
		case fieldLimitRuns:
			l.Runs = string(data)
		case fieldLimitDevices:
			l.Devices = string(data)
		case fieldLimitBy:
			l.By = append(l.By, string(data))
		}
		return nil
	})
	g.Limits = append(g.Limits, l)
	return err
}

func appendFile(list *[]File, data []byte) error {
	var f File
	err := eachField(data, func(field protowire.Number, _ uint64, data []byte) error {
		switch field {
		case fieldName:
			f.Name = string(data)
		case fieldData:
			f.Data = bytes.Clone(data)
		}
		return nil
	})
	*list = append(*list, f)
	return err
}

func eachField(b []byte, fn func(field protowire.Number, v uint64, data []byte) error) error {
	for len(b) > 0 {
		field, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return fmt.Errorf("bundle: %w", protowire.ParseError(n))
		}
		b = b[n:]
		var v uint64
		var data []byte
		switch typ {
		case protowire.VarintType:
			v, n = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			data, n = protowire.ConsumeBytes(b)
		default:
			n = protowire.ConsumeFieldValue(field, typ, b)
		}
		if n < 0 {
			return fmt.Errorf("bundle: %w", protowire.ParseError(n))
		}
		b = b[n:]
		if err := fn(field, v, data); err != nil {
			return err
		}
	}
	return nil
}
