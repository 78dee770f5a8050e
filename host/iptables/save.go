package iptables

import (
	"fmt"
	"strings"

	"neutrino/host"
)

// image is the part of a place's rules that concerns us.
type image struct{ tables map[string]*table }

// table holds our chains, their rules in normal form, and the built-in chains'
// rules as iptables-save prints them.
type table struct {
	chains  map[string]string
	builtin map[string][]string
}

func (im *image) table(name string) *table {
	t := im.tables[name]
	if t == nil {
		t = &table{chains: map[string]string{}, builtin: map[string][]string{}}
		im.tables[name] = t
	}
	return t
}

// parseSave takes the output of iptables-save apart. Lines that it does not
// know, as comments and warnings, concern nobody.
func (e *Engine) parseSave(text string) *image {
	im := &image{tables: map[string]*table{}}
	rules := map[string][]string{}
	var t *table
	for line := range strings.SplitSeq(text, "\n") {
		switch {
		case strings.HasPrefix(line, "*"):
			t, rules = im.table(strings.TrimSpace(line[1:])), map[string][]string{}
		case t == nil:
		case strings.HasPrefix(line, ":"):
			name, rest, _ := strings.Cut(line[1:], " ")
			if e.ours(name) {
				t.chains[name] = ""
			} else if !strings.HasPrefix(rest, "-") {
				t.builtin[name] = nil
			}
		case line == "COMMIT":
			for name, rs := range rules {
				t.chains[name] = strings.Join(rs, "\n")
			}
			t = nil
		default:
			e.parseRule(t, rules, line)
		}
	}
	return im
}

func (e *Engine) parseRule(t *table, rules map[string][]string, line string) {
	if strings.HasPrefix(line, "[") { // counters of iptables-save -c
		_, line, _ = strings.Cut(line, "] ")
	}
	rest, ok := strings.CutPrefix(line, "-A ")
	if !ok {
		return
	}
	name, rule, _ := strings.Cut(rest, " ")
	if _, mine := t.chains[name]; mine {
		rules[name] = append(rules[name], normalise(rule, e.names))
	} else if list, base := t.builtin[name]; base {
		t.builtin[name] = append(list, rule)
	}
}

// normal is the normal form of a chain's rules.
func (e *Engine) normal(rules string) string {
	if rules == "" {
		return ""
	}
	lines := strings.Split(rules, "\n")
	for i, l := range lines {
		lines[i] = normalise(l, e.names)
	}
	return strings.Join(lines, "\n")
}

// SameChain reports whether two chains hold the same rules, in whatever spelling.
func SameChain(a, b host.Chain) bool {
	if a.Rules == b.Rules {
		return true
	}
	as, bs := strings.Split(a.Rules, "\n"), strings.Split(b.Rules, "\n")
	if len(as) != len(bs) {
		return false
	}
	for i := range as {
		if as[i] != bs[i] && Normalise(as[i]) != Normalise(bs[i]) {
			return false
		}
	}
	return true
}

// SameHook reports whether two hooks are at the same place among ours.
func SameHook(a, b host.Hook) bool { return a.Order == b.Order }

func chainItem(k host.ChainKey) string {
	s := fmt.Sprintf("chain %s of IPv%d table %s", k.Chain, k.Family, k.Table)
	if k.NetNS != "" {
		s += " in " + k.NetNS
	}
	return s
}

func hookItem(k host.HookKey) string {
	s := fmt.Sprintf("hook %s %s of IPv%d table %s", k.Chain, k.Rule, k.Family, k.Table)
	if k.NetNS != "" {
		s += " in " + k.NetNS
	}
	return s
}
