package trap

import (
	"encoding/hex"
	"encoding/json"
	"testing"
	"unicode"
	"unicode/utf8"
)

// fit says whether a text may be shown: no control characters but white space.
func fit(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if unicode.IsControl(r) && r != '\t' && r != '\n' && r != '\r' {
			return false
		}
	}
	return true
}

func FuzzParse(f *testing.F) {
	f.Add(linkDownV2c(f))
	f.Add(v1Trap(f, 2, 0))
	f.Add(v1Trap(f, 6, 17))
	f.Add([]byte{0x30, 0x84, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		tr, err := Parse(b)
		if err != nil {
			if tr != nil {
				t.Error("a trap and an error")
			}
			return
		}
		if len(tr.Varbinds) > maxVarbinds {
			t.Errorf("%d variables", len(tr.Varbinds))
		}
		for _, v := range tr.Varbinds {
			if !fit(v.Text) {
				t.Errorf("%s: text %q is not fit to be shown", v.OID, v.Text)
			}
		}
		if _, err := json.Marshal(tr); err != nil {
			t.Errorf("as JSON: %v", err)
		}
	})
}

func FuzzParseText(f *testing.F) {
	f.Add(printedLinkDown)
	f.Add(hex.EncodeToString(linkDownV2c(f)))
	f.Add(`{"name":"linkDown","varbinds":[{"name":"ifIndex","index":"3","text":"3"}]}`)
	f.Add("SNMPv2-MIB::snmpTrapOID.0 = OID: IF-MIB::linkUp\tIF-MIB::ifPhysAddress.1 = STRING: \x1b[31m")
	f.Add("SNMPv2-MIB::snmpTrapOID.0 = OID: IF-MIB::linkUp\tIF-MIB::ifDescr.1 = STRING: \u009b31m\xe6\x92\u0095") // CSI as one character
	f.Fuzz(func(t *testing.T, s string) {
		tr, err := Builtin().ParseText(s)
		if err != nil {
			return
		}
		for _, v := range tr.Varbinds {
			if !fit(v.Text) {
				t.Errorf("%s: text %q is not fit to be shown", v.Name, v.Text)
			}
		}
	})
}
