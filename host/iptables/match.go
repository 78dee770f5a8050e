package iptables

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// printed is the order in which iptables-save prints the options of matches and
// targets; what is not named here follows by name.
var printed = strings.Fields("--physdev-is-in --physdev-in --physdev-is-out --physdev-out --physdev-is-bridged " +
	"--sport --dport --sports --dports --ports --tcp-flags --syn --tcp-option --state --ctstate " +
	"--set-xmark --save-mark --restore-mark --nfmask --ctmask --to-source --to-destination --to-ports --random " +
	"--random-fully --persistent --zone --notrack")

// states in the order in which iptables-save prints them.
var states = []string{"INVALID", "NEW", "RELATED", "ESTABLISHED", "UNTRACKED", "SNAT", "DNAT"}

func sortOptions(options []option) {
	place := func(o option) int {
		if i := slices.Index(printed, o.name); i >= 0 {
			return i
		}
		return len(printed)
	}
	slices.SortStableFunc(options, func(a, b option) int {
		return cmp.Or(place(a)-place(b), strings.Compare(a.name, b.name))
	})
}

func normalMatch(m *group) {
	var keep []option
	for _, o := range m.options {
		o.args = slices.Clone(o.args)
		normalOption(&o)
		if !o.not && len(o.args) == 1 && (o.name == "--sport" || o.name == "--dport") && o.args[0].text == "0:65535" {
			continue
		}
		keep = append(keep, o)
	}
	m.options = keep
	sortOptions(m.options)
	if m.name == "conntrack" && len(keep) == 1 && keep[0].name == "--ctstate" && onlyStates(keep[0]) {
		m.name = "state"
		m.options[0].name = "--state"
	}
	if m.name == "comment" {
		for i := range m.options {
			if len(m.options[i].args) == 1 {
				m.options[i].args[0].quoted = true
			}
		}
	}
}

// onlyStates reports whether the state match, the old spelling, can say the same.
func onlyStates(o option) bool {
	if len(o.args) != 1 {
		return false
	}
	for s := range strings.SplitSeq(o.args[0].text, ",") {
		if !slices.Contains(states[:5], s) {
			return false
		}
	}
	return true
}

func normalOption(o *option) {
	if len(o.args) == 0 {
		return
	}
	first := &o.args[0].text
	switch o.name {
	case "--mac-source":
		*first = strings.ToUpper(*first)
	case "--state", "--ctstate":
		list := strings.Split(*first, ",")
		slices.SortStableFunc(list, func(a, b string) int { return slices.Index(states, a) - slices.Index(states, b) })
		*first = strings.Join(slices.Compact(list), ",")
	case "--sport", "--dport":
		*first = portRange(*first)
	case "--sports", "--dports", "--ports":
		list := strings.Split(*first, ",")
		for i := range list {
			list[i] = portRange(list[i])
		}
		*first = strings.Join(list, ",")
	case "--mark", "--set-xmark", "--nfmask", "--ctmask", "--set-mark":
		*first = markForm(*first)
	case "--zone", "--to-ports":
		if n, err := strconv.ParseUint(*first, 0, 32); err == nil {
			*first = strconv.FormatUint(n, 10)
		}
	case "--icmp-type", "--icmpv6-type":
		*first = icmpForm(*first)
	}
}

// portRange writes a range as iptables-save does: one port alone, open ends filled.
func portRange(s string) string {
	low, high, ranged := strings.Cut(s, ":")
	if !ranged {
		return portNumber(low)
	}
	low, high = cmp.Or(low, "0"), cmp.Or(high, "65535")
	low, high = portNumber(low), portNumber(high)
	if low == high {
		return low
	}
	return low + ":" + high
}

func portNumber(s string) string {
	if n, err := strconv.ParseUint(s, 0, 16); err == nil {
		return strconv.FormatUint(n, 10)
	}
	return s
}

// markForm writes a value and mask in hexadecimal, without a mask of all ones.
func markForm(s string) string {
	value, mask, masked := strings.Cut(s, "/")
	v, err := strconv.ParseUint(value, 0, 32)
	if err != nil {
		return s
	}
	out := "0x" + strconv.FormatUint(v, 16)
	if !masked {
		return out
	}
	m, err := strconv.ParseUint(mask, 0, 32)
	if err != nil {
		return s
	}
	if m == 0xffffffff {
		return out
	}
	return out + "/0x" + strconv.FormatUint(m, 16)
}

var icmpNames = map[string]string{
	"echo-request": "8", "echo-reply": "0", "ping": "8", "pong": "0", "any": "any", "255": "any", "255/0:255": "any",
}

func icmpForm(s string) string {
	if n, ok := icmpNames[s]; ok {
		return n
	}
	kind, code, coded := strings.Cut(s, "/")
	n, err := strconv.ParseUint(kind, 0, 8)
	if err != nil {
		return s
	}
	out := strconv.FormatUint(n, 10)
	if !coded {
		return out
	}
	c, err := strconv.ParseUint(code, 0, 8)
	if err != nil {
		return s
	}
	return out + "/" + strconv.FormatUint(c, 10)
}

func normalTarget(g *group) {
	for i := range g.options[1:] {
		o := &g.options[1+i]
		o.args = slices.Clone(o.args)
		normalOption(o)
	}
	sortOptions(g.options[1:])
}
