package cli

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// look is how a table shows a value; the other formats show the value itself.
type look func(any) string

// upDown shows admin_state_up.
func upDown(v any) string {
	if v == true {
		return "UP"
	}
	return "DOWN"
}

// external shows router:external.
func external(v any) string {
	if v == true {
		return "External"
	}
	return "Internal"
}

// smile shows alive.
func smile(v any) string {
	if v == true {
		return ":-)"
	}
	return "XXX"
}

// commas shows a list of words, sorted.
func commas(v any) string {
	list, ok := v.([]any)
	if !ok {
		return words(v)
	}
	parts := make([]string, len(list))
	for i := range list {
		parts[i] = words(list[i])
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

// pairs shows an object as key='value', sorted by key.
func pairs(v any) string {
	o, ok := v.(object)
	if !ok {
		return words(v)
	}
	return strings.Join(pairsBelow("", o), ", ")
}

func pairsBelow(prefix string, o object) []string {
	sorted := slices.Clone(o)
	slices.SortFunc(sorted, func(a, b member) int { return strings.Compare(a.key, b.key) })
	var parts []string
	for _, m := range sorted {
		switch value := m.value.(type) {
		case nil:
			parts = append(parts, prefix+m.key+"=")
		case object:
			parts = append(parts, pairsBelow(prefix+m.key+".", value)...)
		default:
			parts = append(parts, prefix+m.key+"='"+words(value)+"'")
		}
	}
	return parts
}

// lines shows a list, one element a line.
func lines(each look) look {
	return func(v any) string {
		list, ok := v.([]any)
		if !ok {
			return words(v)
		}
		parts := make([]string, len(list))
		for i := range list {
			parts[i] = each(list[i])
		}
		return strings.Join(parts, "\n")
	}
}

// route shows a route with the word of the option --route.
func route(v any) string {
	o, ok := v.(object)
	if !ok {
		return words(v)
	}
	shown := object{}
	for _, m := range o {
		if m.key == "nexthop" {
			m.key = "gateway"
		}
		shown = append(shown, m)
	}
	return pairs(shown)
}

// pools shows allocation pools.
func pools(v any) string {
	list, ok := v.([]any)
	if !ok {
		return words(v)
	}
	parts := make([]string, len(list))
	for i := range list {
		pool, _ := list[i].(object)
		parts[i] = pool.text("start") + "-" + pool.text("end")
	}
	return strings.Join(parts, ",")
}

// spacedJSON shows JSON on one line, with spaces behind , and : as the clients
// in Python write it.
func spacedJSON(v any) string {
	switch v := v.(type) {
	case []any:
		parts := make([]string, len(v))
		for i := range v {
			parts[i] = spacedJSON(v[i])
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case object:
		parts := make([]string, len(v))
		for i, m := range v {
			parts[i] = spacedJSON(m.key) + ": " + spacedJSON(m.value)
		}
		return "{" + strings.Join(parts, ", ") + "}"
	}
	b, err := marshal(v)
	if err != nil {
		return words(v)
	}
	return string(b)
}

// ruleLine shows a rule inside its group: what it says, without the group's own.
func ruleLine(v any) string {
	o, ok := v.(object)
	if !ok {
		return words(v)
	}
	shown, none := object{}, []any{nil, "", false, json.Number("0")} // as Python has it
	for _, m := range o {
		own := slices.Contains([]string{"tenant_id", "project_id", "security_group_id"}, m.key)
		if !own && !slices.Contains(none, m.value) {
			shown = append(shown, m)
		}
	}
	return pairs(shown)
}

// Values that a list shows and that the API does not have in that form.

// portRange is the port range of a rule, or the type and code of ICMP.
func portRange(rule object) any {
	from, to := rule.get("port_range_min"), rule.get("port_range_max")
	if slices.Contains(icmpNames(), rule.text("protocol")) {
		text := ""
		if from != nil {
			text = "type=" + words(from)
		}
		if to != nil {
			text += ":code=" + words(to)
		}
		return text
	}
	switch {
	case from == nil && to == nil:
		return ""
	case from == nil:
		from = to
	case to == nil:
		to = from
	}
	return words(from) + ":" + words(to)
}

func icmpNames() []string { return []string{"icmp", "icmpv6", "ipv6-icmp", "1", "58"} }

// anyPrefix is the remote prefix of a rule, or the whole of its family.
func anyPrefix(rule object) any {
	if p := rule.get("remote_ip_prefix"); p != nil {
		return p
	}
	if rule.text("ethertype") == "IPv6" {
		return "::/0"
	}
	return "0.0.0.0/0"
}

// zoneState is the state of an availability zone.
func zoneState(zone object) any {
	if zone.text("state") == "unavailable" {
		return "not available"
	}
	return zone.text("state")
}

// number is an integer of an object, 0 where there is none.
func number(v any) int64 {
	n, ok := v.(json.Number)
	if !ok {
		return 0
	}
	i, err := n.Int64()
	if err != nil {
		var f float64
		fmt.Sscan(n.String(), &f)
		return int64(f)
	}
	return i
}
