package host

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Text is the state as a person reads it: one paragraph for each surface, one
// line for each item or rule, in a fixed order. Equal states have equal texts.
func (s *State) Text() string {
	var t text
	section(&t, "namespaces", s.Namespaces, func(k string, _ Namespace) string { return k })
	section(&t, "bridges", s.Bridges, func(k string, v Bridge) string {
		return fmt.Sprintf("%s datapath_type=%s fail_mode=%s protocols=%s other_config:%s", k, v.DatapathType, v.FailMode, v.Protocols, v.OtherConfig)
	})
	section(&t, "ovs ports", s.OVSPorts, ovsPortText)
	section(&t, "links", s.Links, func(k LinkKey, v Link) string {
		return fmt.Sprintf("%s %s peer %s mac %s mtu %d", inNS(k.NetNS)+k.Name, v.Kind, inNS(v.PeerNS)+v.Peer, v.PeerMAC, v.MTU)
	})
	section(&t, "addresses", s.Addresses, func(k AddressKey, _ Address) string {
		return fmt.Sprintf("%s%s %s", inNS(k.NetNS), k.Device, k.Prefix)
	})
	section(&t, "routes", s.Routes, func(k RouteKey, v Route) string {
		return fmt.Sprintf("%s%s via %s dev %s", inNS(k.NetNS), k.Dst, v.Via, v.Device)
	})
	section(&t, "sysctls", s.Sysctls, func(k SysctlKey, v Sysctl) string { return inNS(k.NetNS) + k.Name + "=" + v.Value })
	section(&t, "sets", s.Sets, func(k SetKey, v Set) string {
		return fmt.Sprintf("%s%s %s %s", inNS(k.NetNS), k.Name, v.Family, strings.ReplaceAll(v.Members, "\n", " "))
	})
	section(&t, "hooks", s.Hooks, func(k HookKey, v Hook) string {
		return fmt.Sprintf("%sipv%d %s %d -A %s %s", inNS(k.NetNS), k.Family, k.Table, v.Order, k.Chain, k.Rule)
	})
	section(&t, "chains", s.Chains, chainText)
	section(&t, "zones", s.Zones, func(k uint16, v Zone) string {
		return fmt.Sprintf("%d of %s sets %s\n\t%s", k, v.Addresses, v.Sets, strings.ReplaceAll(v.Allow, "\n", "\n\t"))
	})
	for _, k := range slices.SortedFunc(maps.Keys(s.Flows), compareFlows) {
		match := strings.TrimSpace(fmt.Sprintf("%s table=%d priority=%d %s", k.Bridge, k.Table, k.Priority, k.Match))
		t.line("flows", match+" actions="+s.Flows[k].Actions)
	}
	section(&t, "files", s.Files, func(k string, v File) string {
		return fmt.Sprintf("%s %#o\n\t%s", k, v.Mode, strings.ReplaceAll(strings.TrimSuffix(v.Content, "\n"), "\n", "\n\t"))
	})
	section(&t, "processes", s.Processes, func(k string, v Process) string {
		return fmt.Sprintf("%s%s reload=%s\n\t%s", inNS(v.NetNS), k, v.Reload, strings.ReplaceAll(v.Argv, "\x00", "\n\t"))
	})
	section(&t, "leases", s.Leases, func(k LeaseKey, v Lease) string { return fmt.Sprintf("%s %s %s", k.Dir, k.IP, k.MAC) })
	section(&t, "translations", s.Translations, func(k string, v Translation) string {
		return fmt.Sprintf("%s\n\tdnat %s\n\tsnat %s", k, strings.ReplaceAll(v.DNAT, "\n", ", "), strings.ReplaceAll(v.SNAT, "\n", ", "))
	})
	section(&t, "listeners", s.Listeners, func(k ListenerKey, v Listener) string { return inNS(k.NetNS) + k.Address + " for " + v.Scope })
	section(&t, "adverts", s.Adverts, func(k AdvertKey, v Advert) string {
		return fmt.Sprintf("%s%s mtu %d managed %t other %t dns %s\n\t%s", inNS(k.NetNS), k.Device, v.MTU, v.Managed, v.Other, v.DNS, strings.ReplaceAll(v.Prefixes, "\n", "\n\t"))
	})
	section(&t, "probes", s.Probes, func(k ProbeKey, v Probe) string {
		from := ""
		if v.From != "" {
			from = " from " + v.From
		}
		return fmt.Sprintf("%s%s %s %s%s for %s", inNS(k.NetNS), k.Device, k.Address, k.Kind, from, v.Scope)
	})
	section(&t, "vifs", s.VIFs, func(k string, v VIF) string {
		return fmt.Sprintf("%s mac %s tag %d other_config:%s", k, v.MAC, v.Tag, v.OtherConfig)
	})
	for _, r := range s.Refused {
		t.line("refused", r.Object+": "+r.Reason)
	}
	return t.b.String()
}

type text struct {
	b    strings.Builder
	last string
}

func (t *text) line(section, line string) {
	if t.last != section {
		if t.last != "" {
			t.b.WriteByte('\n')
		}
		t.b.WriteString("# " + section + "\n")
		t.last = section
	}
	t.b.WriteString(strings.TrimRight(line, " \t\n") + "\n")
}

func section[K comparable, V any](t *text, name string, m map[K]V, f func(K, V) string) {
	var lines []string
	for k, v := range m {
		lines = append(lines, f(k, v))
	}
	slices.Sort(lines)
	for _, l := range lines {
		t.line(name, l)
	}
}

func inNS(ns string) string {
	if ns == "" {
		return ""
	}
	return ns + "/"
}

func compareFlows(a, b FlowKey) int {
	return cmp.Or(cmp.Compare(a.Bridge, b.Bridge), cmp.Compare(a.Table, b.Table), -cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.Match, b.Match))
}

func ovsPortText(k string, v OVSPort) string {
	line := fmt.Sprintf("%s on %s", k, v.Bridge)
	for _, f := range [...]struct{ name, value string }{
		{"type", v.Type}, {"options", v.Options}, {"external_ids", v.ExternalIDs}, {"other_config", v.OtherConfig},
	} {
		if f.value != "" {
			line += " " + f.name + "=" + f.value
		}
	}
	if v.Tag != 0 {
		line += fmt.Sprintf(" tag=%d", v.Tag)
	}
	return line
}

func chainText(k ChainKey, v Chain) string {
	head := fmt.Sprintf("%sipv%d %s %s", inNS(k.NetNS), k.Family, k.Table, k.Chain)
	if v.Rules == "" {
		return head
	}
	return head + "\n\t" + strings.ReplaceAll(v.Rules, "\n", "\n\t")
}
