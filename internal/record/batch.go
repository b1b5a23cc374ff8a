package record

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"sync"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/encoding/protowire"
)

// Sizes, in bytes.
const (
	// MaxBatch bounds the records of a batch when decoded from zstd: 64 times
	// what is written at once, so that a bomb is refused before it is
	// inflated.
	MaxBatch = 64 << 20

	// compressFrom is where zstd begins to pay: below, the head of its frame
	// and its tables cost more than they save.
	compressFrom = 4 << 10

	head = 8 // magic, version, CRC
)

const magic = "SBL\x01"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrBadBatch means that bytes are not a whole, undamaged batch.
var ErrBadBatch = errors.New("bad batch")

// The window is as large as a batch may usefully be; more would only cost
// memory. One goroutine: batches are compressed one at a time anyway.
var encoders = sync.OnceValue(func() *zstd.Encoder {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithEncoderConcurrency(4), zstd.WithWindowSize(512<<10), zstd.WithEncoderCRC(false),
		zstd.WithLowerEncoderMem(true))
	if err != nil {
		panic(err) // only wrong options can fail
	}
	return e
})

var decoders = sync.OnceValue(func() *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(4), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(MaxBatch), zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		panic(err)
	}
	return d
})

// EncodeBatch appends the coding of a batch to dst: h without its Records (and
// without Seq and Time, which the stream gives), and count records that
// AppendRecord wrote. It may be called from many goroutines.
func EncodeBatch(dst []byte, h *Batch, count int, records []byte) []byte {
	start := len(dst)
	dst = append(dst, magic...)
	dst = append(dst, 0, 0, 0, 0)
	dst = appendString(dst, 1, h.Writer)
	dst = appendUint(dst, 2, h.Number)
	if h.Prev != [32]byte{} {
		dst = appendBytes(dst, 3, h.Prev[:])
	}
	dst = appendUint(dst, 4, uint64(count))
	dst = appendString(dst, 5, h.Subject)
	dst = appendPosition(dst, 6, h.From)
	dst = appendPosition(dst, 7, h.Through)
	dst = appendString(dst, 8, h.RulesVersion)
	dst = appendUint(dst, 9, h.EventCount)
	dst = appendUint(dst, 10, h.UnmatchedCount)
	if len(records) >= compressFrom {
		dst = appendCompressed(dst, records)
	} else {
		dst = append(dst, records...)
	}
	binary.LittleEndian.PutUint32(dst[start+4:], crc32.Checksum(dst[start+head:], castagnoli))
	return dst
}

func appendCompressed(dst, records []byte) []byte {
	before := len(dst)
	dst = appendUint(dst, 16, uint64(len(records)))
	dst, at := open(dst, 14)
	dst = encoders().EncodeAll(records, dst)
	dst = shut(dst, at)
	if len(dst)-before >= len(records) { // already compressed data, such as rule bundles
		return append(dst[:before], records...)
	}
	return dst
}

// Encode is the coding of a whole batch: AppendRecord and EncodeBatch in one.
func Encode(b *Batch) []byte {
	var records []byte
	for i := range b.Records {
		records = AppendRecord(records, &b.Records[i])
	}
	return EncodeBatch(nil, b, len(b.Records), records)
}

// Hash is what the next batch of the same writer carries as Prev.
func Hash(batch []byte) [32]byte { return sha256.Sum256(batch) }

// DecodeBatch reads what EncodeBatch wrote. All errors wrap ErrBadBatch and
// name what is wrong and where. The strings and bytes in the result are parts
// of data (or of one buffer where it was compressed), not copies: data must
// never change, and who keeps a value for longer than the batch should clone
// it (see CloneEvent), or it holds the whole batch in memory.
func DecodeBatch(data []byte) (*Batch, error) {
	b, count, packed, err := decodeHeader(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadBatch, err)
	}
	if packed.zstd != nil {
		packed.plain, err = decompress(packed)
		if err != nil {
			return nil, fmt.Errorf("%w %d of %s: %w", ErrBadBatch, b.Number, b.Writer, err)
		}
	}
	if err := decodeRecords(b, count, packed.plain); err != nil {
		return nil, fmt.Errorf("%w %d of %s: %w", ErrBadBatch, b.Number, b.Writer, err)
	}
	return b, nil
}

// DecodeHeader checks the CRC and reads all but the records; it also tells how
// many of them there are. It is for those who check chains.
func DecodeHeader(data []byte) (*Batch, int, error) {
	b, count, _, err := decodeHeader(data)
	if err != nil {
		return nil, 0, fmt.Errorf("%w: %w", ErrBadBatch, err)
	}
	return b, count, nil
}

// packed holds the records of a batch before they are decoded.
type packed struct {
	plain []byte // from the first record on, to the end of the batch
	zstd  []byte
	size  uint64 // of zstd's content
}

func decodeHeader(data []byte) (*Batch, int, packed, error) {
	var p packed
	if len(data) < head {
		return nil, 0, p, fmt.Errorf("%d bytes are too few for a batch", len(data))
	}
	if string(data[:3]) != magic[:3] {
		return nil, 0, p, fmt.Errorf("begins with %q, not with %q", data[:3], magic[:3])
	}
	if data[3] != magic[3] {
		return nil, 0, p, fmt.Errorf("version %d is not known here, only %d: it was written by a newer Signalbox", data[3], magic[3])
	}
	want := binary.LittleEndian.Uint32(data[4:])
	if got := crc32.Checksum(data[head:], castagnoli); got != want {
		return nil, 0, p, fmt.Errorf("CRC-32C is %08x, should be %08x: bytes have changed", got, want)
	}
	b, count := new(Batch), uint64(0)
	rest := data[head:]
	for len(rest) > 0 {
		f, after, err := next(rest)
		if err != nil {
			return nil, 0, p, within("header", err)
		}
		switch f.key {
		case fieldRecords<<3 | blen:
			if p.plain == nil {
				p.plain = rest
			}
		case 4<<3 | vint:
			count = f.value
		case 14<<3 | blen:
			p.zstd = f.bytes
		case 16<<3 | vint:
			p.size = f.value
		default:
			if err := b.headerField(f); err != nil {
				return nil, 0, p, within("header", err)
			}
		}
		rest = after
	}
	// A record takes at least two bytes: so a made-up count cannot make us
	// allocate much more than what is there.
	if n := max(uint64(len(p.plain)), p.size); count > n/2 {
		return nil, 0, p, fmt.Errorf("%d records cannot be in %d bytes", count, n)
	}
	return b, int(count), p, nil
}

func (b *Batch) headerField(f field) (err error) {
	switch f.key {
	case 1<<3 | blen:
		b.Writer = string(f.bytes)
	case 2<<3 | vint:
		b.Number = f.value
	case 3<<3 | blen:
		if len(f.bytes) != len(b.Prev) {
			return fmt.Errorf("hash of the batch before has %d bytes, not %d", len(f.bytes), len(b.Prev))
		}
		b.Prev = [32]byte(f.bytes)
	case 5<<3 | blen:
		b.Subject = knownSubject(f.bytes)
	case 6<<3 | blen:
		b.From, err = decodePosition(f.bytes)
	case 7<<3 | blen:
		b.Through, err = decodePosition(f.bytes)
	case 8<<3 | blen:
		b.RulesVersion = string(f.bytes)
	case 9<<3 | vint:
		b.EventCount = f.value
	case 10<<3 | vint:
		b.UnmatchedCount = f.value
	}
	return err
}

func knownSubject(b []byte) Subject {
	for _, s := range [...]Subject{Events, Decisions, Journal} {
		if string(b) == string(s) {
			return s
		}
	}
	return Subject(b)
}

func decompress(p packed) ([]byte, error) {
	if p.plain != nil {
		return nil, errors.New("has both plain and compressed records")
	}
	if p.size > MaxBatch {
		return nil, fmt.Errorf("inflates to %d bytes, more than %d", p.size, MaxBatch)
	}
	out, err := decoders().DecodeAll(p.zstd, make([]byte, 0, p.size))
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	if uint64(len(out)) != p.size {
		return nil, fmt.Errorf("inflates to %d bytes, should be %d", len(out), p.size)
	}
	return out, nil
}

func decodeRecords(b *Batch, count int, data []byte) error {
	b.Records = make([]Record, count)
	d, n := decoder{left: count}, 0
	for len(data) > 0 {
		f, rest, err := next(data)
		if err != nil {
			return fmt.Errorf("after record %d: %w", n, err)
		}
		data = rest
		if f.key != fieldRecords<<3|blen {
			continue
		}
		if n == count {
			return fmt.Errorf("has more than the %d records it says", count)
		}
		d.left = count - n
		if err := d.record(f.bytes, &b.Records[n]); err != nil {
			return fmt.Errorf("record %d: %w", n, err)
		}
		n++
	}
	if n != count {
		return fmt.Errorf("has %d records, says %d", n, count)
	}
	return nil
}

// RecordSize is how many bytes the record that begins encoded takes, so that a
// run of encoded records can be cut between two of them; 0 when there is none.
func RecordSize(encoded []byte) int {
	n := protowire.ConsumeFieldValue(fieldRecords, protowire.BytesType, skipTag(encoded))
	if n < 0 {
		return 0
	}
	return n + 1
}

func skipTag(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b[1:]
}
