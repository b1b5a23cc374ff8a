package trap

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

const exampleMIB = `EXAMPLE-MIB DEFINITIONS ::= BEGIN
IMPORTS
    MODULE-IDENTITY, OBJECT-TYPE, NOTIFICATION-TYPE, enterprises, Integer32, IpAddress FROM SNMPv2-SMI
    MacAddress, DateAndTime, TruthValue FROM SNMPv2-TC
    InetAddressType, InetAddress FROM INET-ADDRESS-MIB
    ExampleState FROM EXAMPLE-TC;
example MODULE-IDENTITY
    LAST-UPDATED "202601010000Z" ORGANIZATION "example" CONTACT-INFO "example" DESCRIPTION "example"
    ::= { enterprises 32473 }
doorTable OBJECT-TYPE SYNTAX SEQUENCE OF DoorEntry MAX-ACCESS not-accessible STATUS current DESCRIPTION "d" ::= { example 1 }
doorEntry OBJECT-TYPE SYNTAX DoorEntry MAX-ACCESS not-accessible STATUS current DESCRIPTION "d"
    INDEX { doorNumber, doorAddrType, doorAddr } ::= { doorTable 1 }
DoorEntry ::= SEQUENCE { doorNumber Integer32, doorAddrType InetAddressType, doorAddr InetAddress, doorState ExampleState }
doorNumber OBJECT-TYPE SYNTAX Integer32 MAX-ACCESS read-only STATUS current DESCRIPTION "d" ::= { doorEntry 1 }
doorAddrType OBJECT-TYPE SYNTAX InetAddressType MAX-ACCESS read-only STATUS current DESCRIPTION "d" ::= { doorEntry 2 }
doorAddr OBJECT-TYPE SYNTAX InetAddress MAX-ACCESS read-only STATUS current DESCRIPTION "d" ::= { doorEntry 3 }
doorState OBJECT-TYPE SYNTAX ExampleState MAX-ACCESS read-only STATUS current DESCRIPTION "d" ::= { doorEntry 4 }
doorLock OBJECT-TYPE SYNTAX MacAddress MAX-ACCESS read-only STATUS current DESCRIPTION "d" ::= { example 2 }
doorOpened NOTIFICATION-TYPE OBJECTS { doorState } STATUS current DESCRIPTION "d" ::= { example 0 7 }
END
`

const exampleTC = `EXAMPLE-TC DEFINITIONS ::= BEGIN
IMPORTS TEXTUAL-CONVENTION FROM SNMPv2-TC;
ExampleState ::= TEXTUAL-CONVENTION STATUS current DESCRIPTION "d" SYNTAX INTEGER { open(1), shut(2) }
END
`

func TestLoadMIBs(t *testing.T) {
	names, problems, err := LoadMIBs(fstest.MapFS{
		"EXAMPLE-MIB.txt":   {Data: []byte(exampleMIB)},
		"more/example.tc":   {Data: []byte(exampleTC)},
		"README":            {Data: []byte("no MIB")},
		"broken":            {Data: []byte("BROKEN DEFINITIONS ::= BEGIN ) END")},
		".git/EXAMPLE-MIB2": {Data: []byte(exampleMIB)},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(problems) != 2 || !strings.Contains(strings.Join(problems, "\n"), "README: no MIB module") {
		t.Errorf("problems: %q", problems)
	}
	o, index := names.Lookup("1.3.6.1.4.1.32473.1.1.4.9.1.4.192.0.2.5")
	if o == nil || o.Name != "doorState" || o.Enum[2] != "shut" || !slices.Equal(o.Index, []string{"n", "inet"}) {
		t.Fatalf("doorState: %+v", o)
	}
	if got := indexAddr(o.Index, index); got != "192.0.2.5" {
		t.Errorf("address in index %s: %q", index, got)
	}
	if o := names.ByName("doorOpened"); o == nil || o.OID != "1.3.6.1.4.1.32473.0.7" || !o.Notification {
		t.Errorf("doorOpened: %+v", o)
	}
	if o := names.ByName("doorLock"); o == nil || o.Show != "mac" {
		t.Errorf("doorLock: %+v", o)
	}
	if names.ByName("linkDown") == nil {
		t.Error("the names in the binary are lost")
	}
	if Builtin().ByName("doorOpened") != nil {
		t.Error("the names in the binary changed")
	}
}

func TestMissingImport(t *testing.T) {
	mib := strings.ReplaceAll(exampleMIB, "enterprises, ", "") // and from a module that is not there:
	mib = strings.Replace(mib, "ExampleState FROM", "enterprises FROM ACME-SMI ExampleState FROM", 1)
	mib = strings.Replace(mib, "enterprises 32473", "acme 1", 1)
	mib = strings.Replace(mib, "enterprises FROM", "acme FROM", 1)
	_, problems, err := LoadMIBs(fstest.MapFS{"m": {Data: []byte(mib)}, "tc": {Data: []byte(exampleTC)}})
	if err != nil {
		t.Fatal(err)
	}
	want := "module ACME-SMI is not in the folder, and is needed by EXAMPLE-MIB (8 names cannot be placed)"
	if len(problems) != 1 || problems[0] != want {
		t.Errorf("problems %q, want %q", problems, want)
	}
}

// corpus is the folder of messages that others wrote.
func corpus(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("SIGNALBOX_CORPUS")
	if dir == "" {
		t.Skip("SIGNALBOX_CORPUS is not set: messages that others wrote are left out")
	}
	return dir
}

// TestTableAgainstMIBs compares the table in the binary with the MIB files
// that it was written after.
func TestTableAgainstMIBs(t *testing.T) {
	dir := filepath.Join(corpus(t), "mibs")
	l := &mibs{modules: map[string]*mib{}, oids: map[string]string{}, missing: map[string]map[string]bool{}}
	files, err := filepath.Glob(dir + "/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if p := l.readFile(os.DirFS(dir), filepath.Base(f)); p != "" {
			t.Logf("not used: %s", p)
		}
	}
	objects, _ := l.resolve()
	modules, checked := map[string]bool{}, 0
	byName := map[string]*Object{}
	for _, o := range objects {
		modules[o.Module] = true
		byName[o.Module+"::"+o.Name] = o
	}
	for _, ours := range Builtin().byOID {
		if !modules[ours.Module] {
			continue
		}
		checked++
		mib := byName[ours.Module+"::"+ours.Name]
		if mib == nil && ours.Module == "OSPF-TRAP-MIB" {
			continue // the corpus has the module of RFC 1850, before RFC 4750
		}
		if mib == nil {
			t.Errorf("%s has no %s", ours.Module, ours.Name)
			continue
		}
		if mib.OID != ours.OID || mib.Notification != ours.Notification {
			t.Errorf("%s::%s is %s (notification %v), the table has %s", ours.Module, ours.Name, mib.OID, mib.Notification, ours.OID)
		}
		for v, label := range ours.Enum {
			if mib.Enum[v] != label && ours.Module != "OSPF-TRAP-MIB" {
				t.Errorf("%s::%s %d is %q, the table has %q", ours.Module, ours.Name, v, mib.Enum[v], label)
			}
		}
		if ours.Name != "ifType" && ours.Name != "jnxFruOfflineReason" && // the usual ones only
			len(ours.Enum) < len(mib.Enum) {
			t.Errorf("%s::%s has labels %v, the table %v", ours.Module, ours.Name, mib.Enum, ours.Enum)
		}
		if ours.Show != mib.Show {
			t.Errorf("%s::%s shows %q, the table %q", ours.Module, ours.Name, mib.Show, ours.Show)
		}
		if fmt.Sprint(ours.Index) != fmt.Sprint(mib.Index) && len(mib.Index) > 0 {
			t.Errorf("%s::%s index=%v, the table %v", ours.Module, ours.Name, mib.Index, ours.Index)
		}
	}
	t.Logf("%d entries of the table checked against %d modules", checked, len(modules))
}
