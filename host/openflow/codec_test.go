package openflow

import (
	"encoding/binary"
	"strings"
	"testing"

	"neutrino/host"
)

func TestTextThatIsNotUnderstoodIsNamed(t *testing.T) {
	for _, c := range []struct{ match, actions, named string }{
		{"colour=red", "drop", `"colour=red"`},
		{"quic", "drop", `"quic"`},
		{"in_port=", "drop", `"in_port="`},
		{"in_port=NORMAL", "drop", `"in_port=NORMAL"`},
		{"in_port=a-name-that-is-too-long", "drop", "longer than"},
		{"dl_vlan=4096", "drop", `"dl_vlan=4096"`},
		{"dl_src=fa:16:3e", "drop", `"dl_src=fa:16:3e"`},
		{"arp_tpa=10.0.0.1", "drop", "arp_tpa needs its protocol"},
		{"ip,tp_src=1", "drop", `"tp_src=1"`},
		{"ip,nw_src=10.0.0.0/33", "drop", `"nw_src=10.0.0.0/33"`},
		{"ip,nw_src=fe80::1", "drop", `"nw_src=fe80::1"`},
		{"ip,arp", "drop", "given twice"},
		{"reg0=1,reg0=2", "drop", "given twice"},
		{"reg0=0x100000000", "drop", "32 bits"},
		{"ct_state=+trk+blue", "drop", `"+blue"`},
		{"ct_state=", "drop", "no connection state"},
		{"icmp6,icmp_type=135,nd_tll=fa:16:3e:00:00:01", "drop", "nd_tll"},
		{"reg0=1,,reg1=1", "drop", "empty part"},
		{"", "frobnicate", `"frobnicate"`},
		{"", "output:", `"output:"`},
		{"", "goto_table:5,NORMAL", "goto_table must come last"},
		{"", "goto_table:255", `"255"`},
		{"", "set_field:1->colour", `"set_field:1->colour"`},
		{"", "set_field:0x100000000->reg0", "32 bits"},
		{"", "load:0x2->NXM_NX_REG0[3]", "1 bits"},
		{"", "load:0x2->NXM_NX_REG0[3..40]", "load has the form"},
		{"", "move:NXM_OF_ETH_SRC[]->NXM_NX_REG0[]", "width"},
		{"", "ct(commit,nat(src=10.0.0.1))", `"nat(src=10.0.0.1)"`},
		{"", "ct(exec(set_field:1->ct_mark))", "exec needs commit"},
		{"", "ct(commit,exec(NORMAL))", "not allowed in exec"},
		{"", "ct(commit", "unbalanced"},
		{"", "mod_vlan_vid:4096", `"mod_vlan_vid:4096"`},
		{"", "resubmit(,)", "nowhere"},
		{"", "note:xyz", "hex"},
		{"", "conjunction(1,3/2)", "id,k/n"},
	} {
		_, err := makeTemplate("br-int", c.match, c.actions)
		if err == nil || !strings.Contains(err.Error(), c.named) {
			t.Errorf("%q %q: error %v does not say %q", c.match, c.actions, err, c.named)
		}
	}
}

// codecSeeds are texts for the fuzz tests.
var codecSeeds = [][2]string{
	{"", "drop"},
	{"in_port=tap1,dl_vlan=3", "mod_vlan_vid:5,output:tap2,resubmit(,9)"},
	{"arp,dl_vlan=1,arp_tpa=10.1.0.3", "move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],load:0x2->NXM_OF_ARP_OP[],IN_PORT"},
	{"icmp6,icmp_type=136,nd_target=fe80::/64", "set_field:2001:db8::1->ipv6_src,set_field:1/5->reg3,goto_table:60"},
	{"ct_state=+trk-new,ip,reg6=0x10/0xff", "ct(commit,force,table=72,zone=NXM_NX_REG6[0..15],exec(set_field:0x1->ct_mark),alg=ftp)"},
	{"tcp,tp_dst=0x50/0xfff0,vlan_tci=0x1000/0x1000", "push_vlan:0x8100,note:01.02,conjunction(8,1/2),ct_clear,dec_ttl"},
	{"tun_id=7,in_port=#9", "strip_vlan,set_tunnel:2,output:#4,LOCAL"},
}

// decodeTemplate encodes a text with made-up port numbers and decodes it again.
func decodeTemplate(t *testing.T, tpl *template) (host.FlowKey, *entry) {
	t.Helper()
	numbers, names := map[string]uint32{}, map[uint32]string{}
	for _, h := range tpl.holes {
		if h.port.name != "" && numbers[h.port.name] == 0 {
			n := uint32(1000 + len(numbers))
			numbers[h.port.name], names[n] = n, h.port.name
		}
	}
	for _, h := range tpl.holes {
		if _, taken := names[h.port.number]; taken || h.width == 2 && h.port.number > 0xfeff {
			t.Skip("a made-up number is in the text")
		}
	}
	wire, used, missing := tpl.resolve(numbers)
	if missing != "" {
		t.Fatalf("port %q has no number", missing)
	}
	k := host.FlowKey{Bridge: "br-int", Table: 3, Priority: 5, Match: tpl.match}
	d := decoder{bridge: "br-int", names: names}
	got, e, err := d.flow(rawFlow{table: 3, priority: 5, cookie: stamp(k, tpl.actions, used), match: wire[:tpl.matchLen], instructions: wire[tpl.matchLen:]})
	if err != nil {
		t.Fatalf("%q %q is not decoded: %v", tpl.match, tpl.actions, err)
	}
	return got, e
}

func FuzzTextSurvivesTheWire(f *testing.F) {
	for _, s := range codecSeeds {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, match, actions string) {
		tpl, err := makeTemplate("br-int", match, actions)
		if err != nil {
			return
		}
		again, err := makeTemplate("br-int", tpl.match, tpl.actions)
		if err != nil || again.match != tpl.match || again.actions != tpl.actions {
			t.Fatalf("canonical text %q %q is not itself again: %v %v", tpl.match, tpl.actions, again, err)
		}
		k, e := decodeTemplate(t, tpl)
		if k.Match != tpl.match || e.flow.Actions != tpl.actions {
			t.Fatalf("%q %q\ncomes back as\n%q %q", tpl.match, tpl.actions, k.Match, e.flow.Actions)
		}
	})
}

func FuzzDecoderTakesAnything(f *testing.F) {
	for _, s := range codecSeeds {
		tpl, err := makeTemplate("br-int", s[0], s[1])
		if err != nil {
			f.Fatal(err)
		}
		f.Add(statsEntry(tpl))
	}
	f.Add([]byte{0, 1, 0, 4})
	f.Fuzz(func(t *testing.T, b []byte) {
		d := decoder{bridge: "br-int", names: map[uint32]string{1: "tap1"}}
		size := 0
		for rest := b; len(rest) > 0; {
			raw, after, err := nextFlow(rest)
			if err != nil {
				break
			}
			if k, e, err := d.flow(raw); err == nil {
				size += len(k.Match) + len(e.flow.Actions)
			}
			rest = after
		}
		if size > 64*len(b)+1024 {
			t.Errorf("%d bytes of text out of %d bytes", size, len(b))
		}
		decodePorts(b)
		decodeError(b)
		foreignUpdate(b, func(raw rawFlow) { d.flow(raw) })
	})
}

// statsEntry is a template as an entry of a flow dump.
func statsEntry(tpl *template) []byte {
	b := make([]byte, flowStatsLen)
	b = append(b, 0, 1)
	b = binary.BigEndian.AppendUint16(b, uint16(4+tpl.matchLen))
	b = append(b, tpl.wire[:tpl.matchLen]...)
	for len(b)%8 != 0 {
		b = append(b, 0)
	}
	b = append(b, tpl.wire[tpl.matchLen:]...)
	binary.BigEndian.PutUint16(b, uint16(len(b)))
	return b
}

func TestTheStampFollowsTheContentAndTheNumbersAndIsOurs(t *testing.T) {
	k := host.FlowKey{Bridge: "br-int", Table: 1, Priority: 2, Match: "in_port=tap1"}
	seen := map[uint64]string{}
	note := func(what string, k host.FlowKey, actions string, ports ...uint32) {
		c := stamp(k, actions, ports)
		if c&CookieMask != CookieMark {
			t.Errorf("%s: cookie 0x%x has not our mark", what, c)
		}
		if other, ok := seen[c]; ok {
			t.Errorf("%s and %s have one cookie", what, other)
		}
		seen[c] = what
	}
	note("base", k, "drop", 1)
	note("other number", k, "drop", 2)
	note("other actions", k, "NORMAL", 1)
	k.Priority = 3
	note("other priority", k, "drop", 1)
	k.Table = 2
	note("other table", k, "drop", 1)
	k.Bridge = "br-tun"
	note("other bridge", k, "drop", 1)
	if got := stamp(host.FlowKey{Bridge: "br-int"}, "drop", nil); got != stamp(host.FlowKey{Bridge: "br-int"}, "drop", nil) {
		t.Error("a stamp changes from call to call")
	}
}

func TestTwoTextsForOneMatchAreAConflictThatIsAlwaysDecidedAlike(t *testing.T) {
	flows := map[host.FlowKey]host.Flow{
		{Bridge: "br-int", Match: "ip,in_port=tap1"}:             {Actions: "NORMAL", Why: host.Why{Object: "a"}},
		{Bridge: "br-int", Match: "in_port=tap1,dl_type=0x0800"}: {Actions: "drop", Why: host.Why{Object: "b"}},
	}
	for range 20 {
		h := New(Options{})
		out, err := h.Canonicalise(flows)
		if err == nil || !strings.Contains(err.Error(), "two flows have the match") {
			t.Fatalf("no conflict: %v", err)
		}
		if got := out[host.FlowKey{Bridge: "br-int", Match: "ip,in_port=tap1"}].Actions; len(out) != 1 || got != "NORMAL" {
			t.Fatalf("kept %v", out)
		}
	}
}

func TestErrorsOfASwitchHaveTheirNames(t *testing.T) {
	for want, body := range map[string][]byte{
		"switch refuses: OFPET_BAD_MATCH OFPBMC_BAD_PREREQ":                 {0, 4, 0, 9},
		"switch refuses: OFPET_BUNDLE_FAILED OFPBFC_MSG_FAILED":             {0, 17, 0, 13},
		"switch refuses: OFPET_HELLO_FAILED OFPHFC_INCOMPATIBLE: no 1.4":    {0, 0, 0, 0, 'n', 'o', ' ', '1', '.', '4'},
		"switch refuses: OFPET_EXPERIMENTER code 5: experimenter 0x2320":    {0xff, 0xff, 0, 5, 0, 0, 0x23, 0x20},
		"switch refuses: type 99 code 7":                                    {0, 99, 0, 7},
		"switch refuses: OFPET_FLOW_MOD_FAILED OFPFMFC_TABLE_FULL":          {0, 5, 0, 1},
		"switch refuses: OFPET_BAD_INSTRUCTION OFPBIC_BAD_TABLE_ID":         {0, 3, 0, 2},
		"switch refuses: OFPET_FLOW_MONITOR_FAILED OFPMOFC_INVALID_MONITOR": {0, 16, 0, 2},
	} {
		if got := decodeError(body).Error(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
