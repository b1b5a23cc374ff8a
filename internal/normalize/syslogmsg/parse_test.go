package syslogmsg

import (
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var received = time.Date(2026, 11, 24, 10, 0, 5, 0, time.UTC)

// want is what a test states of a Message; the zero value of a field is a
// statement too.
type want struct {
	Host, App, Pid, Tag, Text string
	Format                    Format
	Time                      string // RFC 3339, "" for none
	Year, Zone, Unsynced      bool
	Seq                       uint64
	Node, MsgID               string
	Pri                       int // -1 for none
	Version                   uint16
	Why                       string
}

func got(m Message) want {
	w := want{
		Host: m.Hostname, App: m.AppName, Pid: m.ProcID, Tag: m.Tag, Text: m.Text, Format: m.Format,
		Year: m.HasYear, Zone: m.HasZone, Unsynced: m.Unsynced, Seq: m.Sequence, Node: m.Node, MsgID: m.MsgID,
		Pri: -1, Version: m.Version, Why: m.Why,
	}
	if !m.Timestamp.IsZero() {
		w.Time = m.Timestamp.Format(time.RFC3339Nano)
	}
	if m.HasPRI {
		w.Pri = int(m.Facility)*8 + int(m.Severity)
	}
	return w
}

const updown = "Interface GigabitEthernet0/1, changed state to down"

var messages = []struct {
	name, raw string
	want      want
}{
	{"ios, sequence number and host", "<189>45: sw1: %LINK-3-UPDOWN: " + updown,
		want{Host: "sw1", Tag: "LINK-3-UPDOWN", Text: updown, Format: CiscoIOS, Seq: 45, Pri: 189}},
	{"ios, two sequence numbers", "<189>45: 000046: *Nov 24 10:00:00.123: %LINK-3-UPDOWN: " + updown,
		want{Tag: "LINK-3-UPDOWN", Text: updown, Format: CiscoIOS, Seq: 45, Pri: 189, Time: "2026-11-24T10:00:00.123Z", Unsynced: true}},
	{"ios, two counters side by side", "<187>20: sw1: 1 2: %SYSMGR-STANDBY-3-SHUTDOWN_START: The shutdown has begun.",
		want{Host: "sw1", Tag: "SYSMGR-STANDBY-3-SHUTDOWN_START", Text: "The shutdown has begun.", Format: CiscoIOS, Seq: 20, Pri: 187}},
	{"ios, two counters and a time", "<189>45 46: Nov 24 10:00:00: %LINK-3-UPDOWN: " + updown,
		want{Tag: "LINK-3-UPDOWN", Text: updown, Format: CiscoIOS, Seq: 45, Pri: 189, Time: "2026-11-24T10:00:00Z"}},
	{"two counters behind a BSD header", "<189>Nov 24 10:00:00 sw1 1 2: %LINK-3-UPDOWN: " + updown,
		want{Host: "sw1", Tag: "LINK-3-UPDOWN", Text: updown, Format: CiscoIOS, Seq: 1, Pri: 189, Time: "2026-11-24T10:00:00Z"}},
	{"a zone of two letters", "<189>45: sw1: Nov 24 05:00:00 ET: %LINK-3-UPDOWN: " + updown,
		want{Host: "sw1", Tag: "LINK-3-UPDOWN", Text: updown, Format: CiscoIOS, Seq: 45, Pri: 189, Time: "2026-11-24T10:00:00Z", Zone: true}},
	{"nx-os, a zone of two letters", "<166>: 2026 Nov 24 02:00:00 PT: %L2FM-4-L2FM_MAC_MOVE: Mac 0000.5e00.5301 in vlan 1 has moved",
		want{Tag: "L2FM-4-L2FM_MAC_MOVE", Text: "Mac 0000.5e00.5301 in vlan 1 has moved", Format: NXOS, Pri: 166, Time: "2026-11-24T10:00:00Z", Year: true, Zone: true}},
	{"a host of two letters is no zone", "<189>Nov 24 10:00:00 SW: %LINK-3-UPDOWN: " + updown,
		want{Host: "SW", Tag: "LINK-3-UPDOWN", Text: updown, Format: CiscoIOS, Pri: 189, Time: "2026-11-24T10:00:00Z"}},
	{"a process that is called like a zone", "<14>Nov 24 10:00:00 sw1 ET: hello",
		want{Host: "sw1", App: "ET", Text: "hello", Pri: 14, Time: "2026-11-24T10:00:00Z"}},
	{"aireos behind a relay", "<131>Nov 24 10:00:02 192.0.2.7 wlc1: *spamApTask1: Nov 24 10:00:00.123: %CAPWAP-3-DISC_ERR: capwap_ac_sm.c:2053 No join",
		want{Host: "wlc1", App: "spamApTask1", Tag: "CAPWAP-3-DISC_ERR", Text: "capwap_ac_sm.c:2053 No join", Format: CiscoIOS, Pri: 131, Time: "2026-11-24T10:00:00.123Z"}},
	{"aireos without a time", "<131>wlc1: *emWeb: %AAA-3-X: aaa.c:12 No",
		want{Host: "wlc1", App: "emWeb", Tag: "AAA-3-X", Text: "aaa.c:12 No", Format: CiscoIOS, Pri: 131}},
	{"a star that is no task", "<14>Nov 24 10:00:00 sw1 app: *note: nothing to see",
		want{Host: "sw1", App: "app", Text: "*note: nothing to see", Pri: 14, Time: "2026-11-24T10:00:00Z"}},
	{"ios, zone behind the time", "<189>45: sw1: Nov 24 10:00:00.123 CET: %LINK-3-UPDOWN: " + updown,
		want{Host: "sw1", Tag: "LINK-3-UPDOWN", Text: updown, Format: CiscoIOS, Seq: 45, Pri: 189, Time: "2026-11-24T09:00:00.123Z", Zone: true}},
	{"ios, zone that nobody knows", "<189>45: Nov 24 10:00:00 XYZ: %LINK-3-UPDOWN: " + updown,
		want{Tag: "LINK-3-UPDOWN", Text: updown, Format: CiscoIOS, Seq: 45, Pri: 189, Time: "2026-11-24T10:00:00Z"}},
	{"ios, year", "<189>45: .Nov 24 2026 10:00:00.123 UTC: %SYS-5-CONFIG_I: Configured from console by admin on vty0 (192.0.2.9)",
		want{Tag: "SYS-5-CONFIG_I", Text: "Configured from console by admin on vty0 (192.0.2.9)", Format: CiscoIOS, Seq: 45, Pri: 189, Time: "2026-11-24T10:00:00.123Z", Year: true, Zone: true, Unsynced: true}},
	{"ios, uptime in place of a time", "<187>46: 00:13:05: %LINK-3-UPDOWN: " + updown,
		want{Tag: "LINK-3-UPDOWN", Text: updown, Format: CiscoIOS, Seq: 46, Pri: 187}},
	{"ios, uptime in weeks", "<187>46: sw1: 000047: 2y10w: %LINK-3-UPDOWN: " + updown,
		want{Host: "sw1", Tag: "LINK-3-UPDOWN", Text: updown, Format: CiscoIOS, Seq: 46, Pri: 187}},
	{"ios through a relay", "<189>Nov 24 10:00:02 192.0.2.7 585918: Nov 24 10:00:00.272: %SEC-6-IPACCESSLOGP: list 101 denied tcp 192.0.2.1(1) -> 198.51.100.1(22), 1 packet",
		want{Host: "192.0.2.7", Tag: "SEC-6-IPACCESSLOGP", Text: "list 101 denied tcp 192.0.2.1(1) -> 198.51.100.1(22), 1 packet", Format: CiscoIOS, Seq: 585918, Pri: 189, Time: "2026-11-24T10:00:00.272Z"}},
	{"a clock that is not set yields to the relay's", "<189>Nov 24 10:00:02 192.0.2.7 58: *Mar  1 00:00:31.272: %SYS-5-RESTART: System restarted --",
		want{Host: "192.0.2.7", Tag: "SYS-5-RESTART", Text: "System restarted --", Format: CiscoIOS, Seq: 58, Pri: 189, Time: "2026-11-24T10:00:02Z", Unsynced: true}},
	{"host, space, sequence number", "<189>sw1 45: Nov 24 10:00:00: %LINK-3-UPDOWN: " + updown,
		want{Host: "sw1", Tag: "LINK-3-UPDOWN", Text: updown, Format: CiscoIOS, Seq: 45, Pri: 189, Time: "2026-11-24T10:00:00Z"}},
	{"origin-id behind a relay", "<189>Nov 24 10:00:02 192.0.2.7 45: sw1: Nov 24 10:00:00: %LINK-3-UPDOWN: " + updown,
		want{Host: "sw1", Tag: "LINK-3-UPDOWN", Text: updown, Format: CiscoIOS, Seq: 45, Pri: 189, Time: "2026-11-24T10:00:00Z"}},
	{"ipv6 host", "<189>45: 2001:db8::1: Nov 24 10:00:00: %LINK-3-UPDOWN: " + updown,
		want{Host: "2001:db8::1", Tag: "LINK-3-UPDOWN", Text: updown, Format: CiscoIOS, Seq: 45, Pri: 189, Time: "2026-11-24T10:00:00Z"}},
	{"ipv6 host in a BSD header", "<189>Nov 24 10:00:00 2001:db8::1 sshd[9]: Failed password",
		want{Host: "2001:db8::1", App: "sshd", Pid: "9", Text: "Failed password", Pri: 189, Time: "2026-11-24T10:00:00Z"}},
	{"no priority", "Nov 24 10:00:00.105: %LINK-3-UPDOWN: " + updown,
		want{Tag: "LINK-3-UPDOWN", Text: updown, Format: CiscoIOS, Pri: -1, Time: "2026-11-24T10:00:00.105Z"}},
	{"tag alone", "%LINK-3-UPDOWN: " + updown, want{Tag: "LINK-3-UPDOWN", Text: updown, Format: CiscoIOS, Pri: -1}},
	{"ios, zone with an offset", "<189>45: sw1: Nov 24 10:00:00.123 UTC+07:30: %LINK-3-UPDOWN: " + updown,
		want{Host: "sw1", Tag: "LINK-3-UPDOWN", Text: updown, Format: CiscoIOS, Seq: 45, Pri: 189, Time: "2026-11-24T02:30:00.123Z", Zone: true}},
	{"ios, zone in small letters", "<190>33: Nov 24 2026 03:00:00.9 mdt: %IOSXE-6-PLATFORM: R0/0: cpp_cp: QFP",
		want{Tag: "IOSXE-6-PLATFORM", Text: "R0/0: cpp_cp: QFP", Format: CiscoIOS, Seq: 33, Pri: 190, Time: "2026-11-24T09:00:00.9Z", Year: true, Zone: true}},
	{"ios, zone that a relay tore off", "<189>Nov 24 20:00:00 sw1 AEST: %SYS-6-LOGOUT: User admin has exited tty session 1",
		want{Host: "sw1", Tag: "SYS-6-LOGOUT", Text: "User admin has exited tty session 1", Format: CiscoIOS, Pri: 189, Time: "2026-11-24T10:00:00Z", Zone: true}},
	{"ios, origin as structured data", `<189>45: [syslog@9 s_sn="46" s_id="sw1:514"]: *Nov 24 10:00:00.123: %LINK-3-UPDOWN: ` + updown,
		want{Tag: "LINK-3-UPDOWN", Text: updown, Format: CiscoIOS, Seq: 45, Pri: 189, Time: "2026-11-24T10:00:00.123Z", Unsynced: true}},
	{"aireos", "<131>wlc1: *dot1xMsgTask: Nov 24 10:00:00.123: %DOT1X-3-MAX_EAP_RETRIES: 1x_auth_pae.c:2992 Max EAP identity request retries",
		want{Host: "wlc1", App: "dot1xMsgTask", Tag: "DOT1X-3-MAX_EAP_RETRIES", Text: "1x_auth_pae.c:2992 Max EAP identity request retries", Format: CiscoIOS, Pri: 131, Time: "2026-11-24T10:00:00.123Z"}},
	{"cef alone", "CEF:0|Example|fw|1|2|name|3|src=192.0.2.1", want{Text: "CEF:0|Example|fw|1|2|name|3|src=192.0.2.1", Format: CEF, Pri: -1}},
	{"nx-os, no tag", "<187>: 2026 Nov 24 10:00:00 UTC: last message repeated 1 times",
		want{Text: "last message repeated 1 times", Pri: 187, Time: "2026-11-24T10:00:00Z", Year: true, Zone: true}},
	{"nx-os through a relay", "<189>Nov 24 10:00:02 nx1 60: Nov 24 10:00:00.739 UTC: %ETHPORT-5-IF_UP: Interface Ethernet1/9 is up",
		want{Host: "nx1", Tag: "ETHPORT-5-IF_UP", Text: "Interface Ethernet1/9 is up", Format: NXOS, Seq: 60, Pri: 189, Time: "2026-11-24T10:00:00.739Z", Zone: true}},
	{"nx-os, year first", "<189>: 2026 Nov 24 10:00:00.123 CET: %ETHPORT-5-IF_DOWN_LINK_FAILURE: Interface Ethernet1/33 is down (Link failure)",
		want{Tag: "ETHPORT-5-IF_DOWN_LINK_FAILURE", Text: "Interface Ethernet1/33 is down (Link failure)", Format: NXOS, Pri: 189, Time: "2026-11-24T09:00:00.123Z", Year: true, Zone: true}},
	{"nx-os with host", "<189>nx1: 2026 Nov  4 10:00:00 UTC: %$VDC-1$ %ETHPORT-5-IF_UP: Interface Ethernet1/1 is up",
		want{Host: "nx1", Tag: "ETHPORT-5-IF_UP", Text: "Interface Ethernet1/1 is up", Format: NXOS, Pri: 189, Time: "2026-11-04T10:00:00Z", Year: true, Zone: true}},
	{"ios-xr", "<187>94307: xr1 RP/0/RSP0/CPU0:Nov 24 10:00:00.834 UTC: ifmgr[214]: %PKT_INFRA-LINK-3-UPDOWN : Interface TenGigE0/2/0/4, changed state to Down",
		want{Host: "xr1", App: "ifmgr", Pid: "214", Node: "RP/0/RSP0/CPU0", Tag: "PKT_INFRA-LINK-3-UPDOWN", Text: "Interface TenGigE0/2/0/4, changed state to Down", Format: IOSXR, Seq: 94307, Pri: 187, Time: "2026-11-24T10:00:00.834Z", Zone: true}},
	{"ios-xr, offset", "<187>LC/0/0/CPU0:Nov 24 10:00:00.886 +01:00: bgp[1051]: %ROUTING-BGP-5-ADJCHANGE : neighbor 192.0.2.9 Down",
		want{App: "bgp", Pid: "1051", Node: "LC/0/0/CPU0", Tag: "ROUTING-BGP-5-ADJCHANGE", Text: "neighbor 192.0.2.9 Down", Format: IOSXR, Pri: 187, Time: "2026-11-24T09:00:00.886Z", Zone: true}},
	{"asa", "<164>Nov 24 2026 10:00:00 fw1 : %ASA-4-106023: Deny tcp src outside:192.0.2.1/1 dst inside:198.51.100.1/22 by access-group \"out\"",
		want{Host: "fw1", Tag: "ASA-4-106023", Text: "Deny tcp src outside:192.0.2.1/1 dst inside:198.51.100.1/22 by access-group \"out\"", Format: ASA, Pri: 164, Time: "2026-11-24T10:00:00Z", Year: true}},
	{"asa, emblem with a class", "<166>:Nov 24 10:00:00 UTC: %ASA-session-6-302013: Built inbound TCP connection 1",
		want{Tag: "ASA-6-302013", Text: "Built inbound TCP connection 1", Format: ASA, Pri: 166, Time: "2026-11-24T10:00:00Z", Zone: true}},
	{"ftd", "<165>2026-11-24T10:00:00Z ftd1 : %FTD-1-430003: EventPriority: Low",
		want{Host: "ftd1", Tag: "ASA-1-430003", Text: "EventPriority: Low", Format: ASA, Pri: 165, Time: "2026-11-24T10:00:00Z", Year: true, Zone: true}},
	{"eos", "<165>Nov 24 10:00:00 veos1 Ebra: %LINEPROTO-5-UPDOWN: Line protocol on Interface Ethernet28, changed state to down",
		want{Host: "veos1", App: "Ebra", Tag: "LINEPROTO-5-UPDOWN", Text: "Line protocol on Interface Ethernet28, changed state to down", Format: EOS, Pri: 165, Time: "2026-11-24T10:00:00Z"}},
	{"eos, sequence number and no host", "<165>2026-11-24T10:00:00.5+01:00 ConfigAgent: 67: %SYS-5-CONFIG_I: Configured from console by admin on vty3",
		want{App: "ConfigAgent", Tag: "SYS-5-CONFIG_I", Text: "Configured from console by admin on vty3", Format: EOS, Seq: 67, Pri: 165, Time: "2026-11-24T09:00:00.5Z", Year: true, Zone: true}},
	{"junos", "<28>Nov 24 10:00:00  re0.mx1 rpd[2902]: RPD_BGP_NEIGHBOR_STATE_CHANGED: BGP peer 192.0.2.9 (External AS 64500) changed state from Established to Idle",
		want{Host: "mx1", Node: "re0", App: "rpd", Pid: "2902", Tag: "RPD_BGP_NEIGHBOR_STATE_CHANGED", Text: "BGP peer 192.0.2.9 (External AS 64500) changed state from Established to Idle", Format: Junos, Pri: 28, Time: "2026-11-24T10:00:00Z"}},
	{"junos, explicit priority", "<28>Nov 24 10:00:00 mx1 mib2d[1484]: %DAEMON-4-SNMP_TRAP_LINK_DOWN: ifIndex 584, ifName ge-0/0/1",
		want{Host: "mx1", App: "mib2d", Pid: "1484", Tag: "SNMP_TRAP_LINK_DOWN", Text: "ifIndex 584, ifName ge-0/0/1", Format: Junos, Pri: 28, Time: "2026-11-24T10:00:00Z"}},
	{"junos, function", "<28>Nov 24 10:00:00 mx1 rpd[2]: bgp_pp_recv:4609: NOTIFICATION sent to 192.0.2.6",
		want{Host: "mx1", App: "rpd", Pid: "2", Tag: "bgp_pp_recv", Text: "NOTIFICATION sent to 192.0.2.6", Format: Junos, Pri: 28, Time: "2026-11-24T10:00:00Z"}},
	{"junos, structured", `<29>1 2026-11-24T10:00:00.846+10:00 mx1 mib2d 8961 SNMP_TRAP_LINK_DOWN [junos@2636.1.1.1.2.57 snmp-interface-index="584" interface-name="ge-0/0/1"] ifIndex 584`,
		want{Host: "mx1", App: "mib2d", Pid: "8961", MsgID: "SNMP_TRAP_LINK_DOWN", Tag: "SNMP_TRAP_LINK_DOWN", Text: "ifIndex 584", Format: Junos, Pri: 29, Version: 1, Time: "2026-11-24T00:00:00.846Z", Year: true, Zone: true}},
	{"junos, structured without host", "<165>1 2026-11-24T10:00:00.719Z mib2d[1484]: SNMP_TRAP_LINK_UP: ifIndex 584, ifAdminStatus up(1)",
		want{App: "mib2d", Pid: "1484", Tag: "SNMP_TRAP_LINK_UP", Text: "ifIndex 584, ifAdminStatus up(1)", Format: Junos, Pri: 165, Version: 1, Time: "2026-11-24T10:00:00.719Z", Year: true, Zone: true}},
	{"junos, MSGID before what stands in the text", `<30>1 2026-11-24T10:00:00Z mx1 rpd 20 RPD_IFD_NOTIFICATION [junos@2636.1.1.1.2.57 state="up"] IF_TRACE: EVENT <UpDown> st0.60`,
		want{Host: "mx1", App: "rpd", Pid: "20", MsgID: "RPD_IFD_NOTIFICATION", Tag: "RPD_IFD_NOTIFICATION", Text: "IF_TRACE: EVENT <UpDown> st0.60", Format: Junos, Pri: 30, Version: 1, Time: "2026-11-24T10:00:00Z", Year: true, Zone: true}},
	{"junos, host again", "<158>1 2026-11-24T10:00:00Z mx1 - - - - mx1 PFE_FW_SYSLOG_IP: FW: ge-0/0/1.0 A",
		want{Host: "mx1", Tag: "PFE_FW_SYSLOG_IP", Text: "FW: ge-0/0/1.0 A", Format: Junos, Pri: 158, Version: 1, Time: "2026-11-24T10:00:00Z", Year: true, Zone: true}},
	{"junos, structured text without a header", `RT_FLOW_SESSION_DENY [junos@2636.1.1.1.2.142 source-address="192.0.2.1"] session denied`,
		want{Tag: "RT_FLOW_SESSION_DENY", Text: "session denied", Format: Junos, Pri: -1}},
	{"fortinet, csv", `<189>date=2026-11-24,time=10:00:00,logid=0720018433,type=anomaly,subtype=anomaly,level=alert`,
		want{Tag: "0720018433", Text: "date=2026-11-24,time=10:00:00,logid=0720018433,type=anomaly,subtype=anomaly,level=alert", Format: Fortinet, Pri: 189, Time: "2026-11-24T10:00:00Z", Year: true}},
	{"junos, line card", "<7>Nov 24 10:00:01 re1-mx1 fpc3 NH: hold packet out failed, ID 6891",
		want{Host: "mx1", Node: "re1", App: "fpc3", Tag: "NH", Text: "hold packet out failed, ID 6891", Format: Junos, Pri: 7, Time: "2026-11-24T10:00:01Z"}},
	{"huawei", "<188>Nov 24 2026 10:00:00-08:00 hw1 %%01IFNET/4/LINK_STATE(l)[55]:The line protocol IP on the interface GE0/0/1 has entered the DOWN state.",
		want{Host: "hw1", Tag: "IFNET/4/LINK_STATE", Text: "The line protocol IP on the interface GE0/0/1 has entered the DOWN state.", Format: HuaweiVRP, Seq: 55, Pri: 188, Time: "2026-11-24T18:00:00Z", Year: true, Zone: true}},
	{"huawei, a counter behind the milliseconds", "<29>2026-11-4 01:00:33.270.1 hw1 %%01IFNET/4/IF_STATE(l)[49]:Interface Ethernet0/0/8 has turned into UP state.",
		want{Host: "hw1", Tag: "IFNET/4/IF_STATE", Text: "Interface Ethernet0/0/8 has turned into UP state.", Format: HuaweiVRP, Seq: 49, Pri: 29, Time: "2026-11-04T01:00:33.27Z", Year: true}},
	{"comware, year last", "<187>Nov 24 10:00:00 2026 h3c1 %%10IFNET/3/LINK_UPDOWN(l): Ethernet1/0/1 link status is DOWN.",
		want{Host: "h3c1", Tag: "IFNET/3/LINK_UPDOWN", Text: "Ethernet1/0/1 link status is DOWN.", Format: Comware, Pri: 187, Time: "2026-11-24T10:00:00Z", Year: true}},
	{"frr", "<29>Nov 24 10:00:00 r1 bgpd[801]: [M59KS-A3ZXZ] %ADJCHANGE: neighbor 192.0.2.9 in vrf default Down BGP Notification send",
		want{Host: "r1", App: "bgpd", Pid: "801", Tag: "ADJCHANGE", Text: "neighbor 192.0.2.9 in vrf default Down BGP Notification send", Format: FRR, Pri: 29, Time: "2026-11-24T10:00:00Z"}},
	{"frr, no tag", "<27>Nov 24 10:00:00 r1 zebra[801]: [WPPMZ-G9797] [EC 4043309122] client disconnected",
		want{Host: "r1", App: "zebra", Pid: "801", Text: "client disconnected", Format: FRR, Pri: 27, Time: "2026-11-24T10:00:00Z"}},
	{"fortinet", `<189>date=2026-11-24 time=10:00:00 devname="fw1" devid="FG1" eventtime=1795514400 tz="+0100" logid="0100032002" type="event" subtype="system" level="alert"`,
		want{Host: "fw1", Tag: "0100032002", Text: `date=2026-11-24 time=10:00:00 devname="fw1" devid="FG1" eventtime=1795514400 tz="+0100" logid="0100032002" type="event" subtype="system" level="alert"`, Format: Fortinet, Pri: 189, Time: "2026-11-24T09:00:00Z", Year: true, Zone: true}},
	{"palo alto", "<14>Nov 24 10:00:00 fw1 1,2026/11/24 10:00:01,0123,SYSTEM,general,0,2026/11/24 10:00:00,,general,,0,0,general,high,link down",
		want{Host: "fw1", Tag: "SYSTEM", Text: "1,2026/11/24 10:00:01,0123,SYSTEM,general,0,2026/11/24 10:00:00,,general,,0,0,general,high,link down", Format: PaloAlto, Pri: 14, Time: "2026-11-24T10:00:00Z", Year: true}},
	{"unix, no host", "<86>Nov 24 10:00:00 /usr/sbin/cron[4321]: (root) CMD (/usr/libexec/atrun)",
		want{App: "usr/sbin/cron", Pid: "4321", Text: "(root) CMD (/usr/libexec/atrun)", Pri: 86, Time: "2026-11-24T10:00:00Z"}},
	{"surroundings are taken off", "\xef\xbb\xbf<189>45: sw1: %LINK-3-UPDOWN: down\r\n\x00\x00",
		want{Host: "sw1", Tag: "LINK-3-UPDOWN", Text: "down", Format: CiscoIOS, Seq: 45, Pri: 189}},
	{"an application's time is not the header's", "<13>Nov 24 10:00:00 host httpd: 2026-09-24 11:44:48.352Z [admin]: Called",
		want{Host: "host", App: "httpd", Text: "2026-09-24 11:44:48.352Z [admin]: Called", Pri: 13, Time: "2026-11-24T10:00:00Z"}},

	{"empty", "", want{Pri: -1, Why: "empty"}},
	{"only surroundings", "\r\n\x00", want{Pri: -1, Why: "empty"}},
	{"text", "hello world", want{Text: "hello world", Pri: -1, Why: "no time, tag or process name"}},
	{"priority too high", "<999>Nov 24 10:00:00 host a: b", want{Host: "host", App: "a", Text: "b", Pri: -1, Time: "2026-11-24T10:00:00Z", Why: "the priority is above 191"}},
	{"priority that is none", "<abc>x", want{Text: "<abc>x", Pri: -1, Why: "the priority is no number between < and >"}},
	{"broken structured data", `<29>1 2026-11-24T10:00:00Z mx1 a - - [x y="1] text`,
		want{Host: "mx1", App: "a", Text: `[x y="1] text`, Pri: 29, Version: 1, Time: "2026-11-24T10:00:00Z", Year: true, Zone: true, Why: "STRUCTURED-DATA is neither - nor elements in brackets"}},
}

func TestParse(t *testing.T) {
	for _, tt := range messages {
		t.Run(tt.name, func(t *testing.T) {
			if d := cmp.Diff(tt.want, got(Parse([]byte(tt.raw), received))); d != "" {
				t.Errorf("%q (-want +got):\n%s", tt.raw, d)
			}
		})
	}
}

// TestYear covers both sides of New Year's Eve, leap days, and zones that two
// places share.
func TestYear(t *testing.T) {
	berlin := time.FixedZone("CET", 3600)
	at := func(y int, m time.Month, d, h int) time.Time { return time.Date(y, m, d, h, 0, 0, 0, time.UTC) }
	tests := []struct {
		name     string
		stamp    string
		received time.Time
		want     string
	}{
		{"this year", "Nov 24 10:00:00", received, "2026-11-24T10:00:00Z"},
		{"December's in January", "Dec 31 23:59:59", at(2027, 1, 1, 0), "2026-12-31T23:59:59Z"},
		{"January's in December: a clock ahead", "Jan  1 00:00:10", at(2026, 12, 31, 23), "2027-01-01T00:00:10Z"},
		{"half a year back", "Jun 10 00:00:00", at(2026, 11, 24, 0), "2026-06-10T00:00:00Z"},
		{"leap day, received a year after", "Feb 29 12:00:00", at(2025, 2, 28, 12), "2024-02-29T12:00:00Z"},
		{"leap day on the day", "Feb 29 12:00:00", at(2028, 2, 29, 12), "2028-02-29T12:00:00Z"},
		{"a century that is no leap year", "Feb 29 12:00:00", at(2099, 12, 1, 0), "2096-02-29T12:00:00Z"},
		{"without a zone, in the receiver's", "Nov 24 11:00:05", received.In(berlin), "2026-11-24T10:00:05Z"},
		{"CST in Chicago", "Nov 24 04:00:05 CST", received, "2026-11-24T10:00:05Z"},
		{"CST in Shanghai", "Nov 24 18:00:05 CST", received, "2026-11-24T10:00:05Z"},
		{"an offset to the west", "2026-11-24T04:30:05.25-05:30", received, "2026-11-24T10:00:05.25Z"},
		{"a day that no month has", "Nov 31 10:00:00", received, "0001-01-01T00:00:00Z"},
		{"an hour that no day has", "Nov 24 24:00:00", received, "0001-01-01T00:00:00Z"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := Parse([]byte("<189>"+tt.stamp+" sw1 a: b"), tt.received)
			if got := m.Timestamp.Format(time.RFC3339Nano); got != tt.want {
				t.Errorf("%q received %v: %s, want %s", tt.stamp, tt.received, got, tt.want)
			}
		})
	}
}

func TestStructuredData(t *testing.T) {
	m := Parse([]byte(`<165>1 - h a p m [b@1 y="2" x="a\"b\\c\]d\n"][a@1][c@1 x="3" x="4"] text`), received)
	want := []Element{
		{ID: "b@1", Params: []Param{{"y", "2"}, {"x", `a"b\c]d\n`}}},
		{ID: "a@1", Params: []Param{}},
		{ID: "c@1", Params: []Param{{"x", "3"}, {"x", "4"}}},
	}
	if d := cmp.Diff(want, m.StructuredData); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if v, ok := m.Param("c@1", "x"); v != "3" || !ok {
		t.Errorf("Param(c@1, x) = %q, %v", v, ok)
	}
	if v, ok := m.Param("", "x"); v != `a"b\c]d\n` || !ok {
		t.Errorf("Param(any, x) = %q, %v", v, ok)
	}
	if _, ok := m.Param("a@1", "x"); ok {
		t.Error("Param(a@1, x) found what is not there")
	}
	if m.Text != "text" || m.Unparsed {
		t.Errorf("text %q, unparsed %q", m.Text, m.Why)
	}
}

func TestSplitTag(t *testing.T) {
	f, s, n, ok := SplitTag("EARL-SW2_DFC1-1-EXCESSIVE_PARITY_ERROR")
	if f != "EARL-SW2_DFC1" || s != 1 || n != "EXCESSIVE_PARITY_ERROR" || !ok {
		t.Errorf("got %q %d %q %v", f, s, n, ok)
	}
	for _, tag := range []string{"", "ADJCHANGE", "A-9-B", "-3-B", "A-3-"} {
		if _, _, _, ok := SplitTag(tag); ok {
			t.Errorf("%q taken for a tag of Cisco's form", tag)
		}
	}
}

// FuzzParse looks for panics and for messages that RFC 5424's library reads
// otherwise. What is not in the raw bytes must not be in a field.
func FuzzParse(f *testing.F) {
	for _, m := range messages {
		f.Add([]byte(m.raw))
	}
	if os.Getenv("SIGNALBOX_CORPUS") != "" {
		for _, name := range []string{"napalm-logs.jsonl", "gosyslog-rfc5424.jsonl", "sc4s-network.jsonl"} {
			for _, c := range corpus(f, name) {
				f.Add(c.bytes())
			}
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		before := string(raw)
		m := Parse(raw, received)
		if string(raw) != before {
			t.Fatalf("%q: changed to %q", before, raw)
		}
		if m.Unparsed != (m.Why != "") {
			t.Errorf("%q: unparsed %v but why %q", raw, m.Unparsed, m.Why)
		}
		if y := m.Timestamp.Year(); !m.Timestamp.IsZero() && !m.HasYear && (y < 2017 || y > 2036) {
			t.Errorf("%q: year %d", raw, y)
		}
		agree(t, raw)
	})
}

func BenchmarkParse(b *testing.B) {
	for _, name := range []string{"ios, zone behind the time", "ios-xr", "eos", "junos", "junos, structured", "huawei", "fortinet", "palo alto", "nx-os with host"} {
		for _, m := range messages {
			if m.name != name {
				continue
			}
			b.Run(name, func(b *testing.B) {
				raw := []byte(m.raw)
				b.ReportAllocs()
				b.SetBytes(int64(len(raw)))
				for b.Loop() {
					_ = Parse(raw, received)
				}
			})
		}
	}
}
