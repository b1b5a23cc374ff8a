package packs

import _ "embed"

// Notifications is the table of standard SNMP notifications and of the objects
// that they carry; package trap reads it.
//
//go:embed notifications.txt
var Notifications []byte
