package scan

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestCheck(t *testing.T) {
	tests := []struct{ in, want string }{
		{`{"a":[1,-2.5e+3,"x\u00e9\ud83d\ude00\n",true,false,null,{}]} `, ""},
		{``, "ends too early"}, {`{`, "member name"}, {`{"a"}`, "':'"}, {`{"a":1,}`, "member name"}, {`[1,]`, "JSON value"},
		{`[1 2]`, "',' or ']'"}, {`01`, "JSON value"}, {`1.`, "digits"}, {`1e`, "digits"}, {`-`, "JSON value"}, {`tru`, "JSON value"},
		{`"a`, "no end"}, {"\"\n\"", "control"}, {"\"\xff\"", "UTF-8"}, {`"\x"`, "escape"}, {`"\ud800"`, "surrogate"}, {`"\udc00"`, "surrogate"},
		{`"\u12"`, "hex"}, {`1 2`, "more after"}, {`[[[[]]]]`, "too deep"},
	}
	for _, tt := range tests {
		err := Check([]byte(tt.in), 3)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: got %v, want %q", tt.in, err, tt.want)
		}
	}
}

func TestMembers(t *testing.T) {
	doc := []byte(` { "a" : [1, "}"] , "b\u0063" : {"x": "]\""}, "n":null ,"z":1}`)
	var got []string
	for k, v := range Members(doc) {
		got = append(got, Name(k)+"="+string(v))
	}
	if want := `a=[1, "}"] bc={"x": "]\""} n=null z=1`; strings.Join(got, " ") != want {
		t.Errorf("got %v", got)
	}
	got = nil
	for v := range Elements([]byte(`[ 1 , [2], "a,b" ]`)) {
		got = append(got, string(v))
	}
	if strings.Join(got, "|") != `1|[2]|"a,b"` {
		t.Errorf("got %v", got)
	}
}

// TestAppendString: what is written reads back as the same text, and is safe
// to print.
func TestAppendString(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"))
		if rapid.Bool().Draw(t, "text") {
			in = rapid.String().Draw(t, "string")
		}
		out := AppendString(nil, in)
		var back string
		if err := json.Unmarshal(out, &back); err != nil {
			t.Fatal(err)
		}
		want := string([]rune(in))
		if back != want {
			t.Fatalf("%q came back as %q", in, back)
		}
		for _, c := range string(out) {
			if c < ' ' || c >= 0x7f && c < 0xa0 {
				t.Fatalf("%U in %q", c, out)
			}
		}
	})
}

// FuzzScan: Check agrees with the standard library on what is JSON (RFC 8259;
// the library lets bad UTF-8 and lone surrogates pass), and nothing panics on
// bytes that are not.
func FuzzScan(f *testing.F) {
	f.Add([]byte(`{"a":[1,-2.5e+3,"x\u00e9\ud83d\ude00\n",true,false,null,{}]}`))
	f.Add([]byte(`{"a`))
	f.Add([]byte(` { "name" : "GigabitEthernet0/1" , "é":"up\\", "n":-0.5, "m":100, "t":true, "z":null } `))
	f.Add([]byte("{" + strings.Repeat(`"a":1,`, maxFlat-1) + `"b":2}`))
	f.Add([]byte("{" + strings.Repeat(`"a":1,`, maxFlat) + `"b":2}`))
	f.Add([]byte(`{"a":1e5,"b\u0041":01}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		err := Check(b, 1000)
		if err == nil && !json.Valid(b) {
			t.Fatalf("%q passes and is no JSON", b)
		}
		if err != nil && json.Valid(b) && utf8.Valid(b) && !strings.Contains(err.Error(), "surrogate") && !strings.Contains(err.Error(), "deep") {
			t.Fatalf("%q is JSON: %v", b, err)
		}
		flat, ok := Flat(nil, b)
		if ok && err != nil {
			t.Fatalf("%q is flat and no JSON: %v", b, err)
		}
		n, plain := 0, err == nil && bytes.HasPrefix(Trim(b), []byte("{"))
		for k, v := range Members(b) {
			Name(k)
			String(v)
			if ok {
				m := flat[n]
				if text, is := String(v); m.Plain != (is && !bytes.Contains(v, []byte(`\`))) || m.Plain && text != string(b[m.From+1:m.To-1]) {
					t.Fatalf("member %d of %q: plain %v", n, b, m.Plain)
				}
				if string(b[m.NameFrom:m.NameTo]) != string(k) || string(b[m.From:m.To]) != string(v) {
					t.Fatalf("member %d of %q: %q %q, should be %q %q", n, b, b[m.NameFrom:m.NameTo], b[m.From:m.To], k, v)
				}
			}
			n++
			number := len(v) > 0 && (v[0] == '-' || v[0] >= '0' && v[0] <= '9')
			plain = plain && len(v) > 0 && v[0] != '{' && v[0] != '[' && !bytes.Contains(k, []byte(`\`)) && !(number && (len(v) > maxFlatNumber || bytes.ContainsAny(v, "eE")))
		}
		plain = plain && n <= maxFlat
		if ok != plain || ok && n != len(flat) {
			t.Fatalf("%q is flat: %v with %d members; should be %v with %d", b, ok, len(flat), plain, n)
		}
		for v := range Elements(b) {
			IsNull(v)
		}
	})
}
