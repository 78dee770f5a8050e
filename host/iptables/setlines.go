package iptables

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"neutrino/host"
)

// putLines are the commands that make a set hold what is wanted.
func (s *Sets) putLines(have map[string]host.Set, name string, want host.Set) ([]string, error) {
	if err := checkSet(name, want); err != nil {
		return nil, err
	}
	members := strings.Fields(NormaliseMembers(want.Members))
	old, exists := have[name]
	if exists && old.Family != want.Family {
		return nil, fmt.Errorf("there is a set of the family or type %q by this name", old.Family)
	}
	if !exists {
		return fillLines(name, want.Family, members), nil
	}
	held := strings.Fields(NormaliseMembers(old.Members))
	add, del := missing(members, held), missing(held, members)
	// A set that has outgrown its limit, or may have, is made anew.
	if len(add)+len(del) < smallChange && len(members) <= defaultMax {
		return append(prefixed("add "+name+" ", add), prefixed("del "+name+" ", del)...), nil
	}
	next := name + swapSuffix
	lines := append([]string{}, fillLines(next, want.Family, members)...)
	lines = slices.Insert(lines, 1, "flush "+next) // a crash may have left one behind
	return append(lines, "swap "+next+" "+name, "destroy "+next), nil
}

func dropLines(have map[string]host.Set, name string, _ host.Set) ([]string, error) {
	if _, exists := have[name]; !exists || !ourSet(name) {
		return nil, nil
	}
	return []string{"destroy " + name}, nil
}

func fillLines(name, family string, members []string) []string {
	create := fmt.Sprintf("create %s hash:net family %s", name, family)
	if limit := defaultMax; len(members) > limit {
		for limit < 2*len(members) {
			limit *= 2
		}
		create += fmt.Sprintf(" maxelem %d", limit)
	}
	return append([]string{create}, prefixed("add "+name+" ", members)...)
}

func prefixed(prefix string, list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = prefix + s
	}
	return out
}

// missing are the words of sorted a that are not in sorted b.
func missing(a, b []string) []string {
	var out []string
	for _, s := range a {
		if _, found := slices.BinarySearch(b, s); !found {
			out = append(out, s)
		}
	}
	return out
}

// checkSet refuses what the tool would take for something else, or as a name to
// be looked up.
func checkSet(name string, want host.Set) error {
	if !ourSet(name) || strings.ContainsAny(name, " \t\r\n\x00") {
		return fmt.Errorf("%q is no set of ours", name)
	}
	if len(name)+len(swapSuffix) > 31 {
		return fmt.Errorf("a set's name has at most %d characters, %s has %d", 31-len(swapSuffix), name, len(name))
	}
	if want.Family != "inet" && want.Family != "inet6" {
		return fmt.Errorf("unknown family %q", want.Family)
	}
	for m := range strings.FieldsSeq(want.Members) {
		p, err := netip.ParsePrefix(prefixForm(m))
		if err != nil {
			return fmt.Errorf("%q is no prefix", m)
		}
		if p.Addr().Is4() != (want.Family == "inet") {
			return fmt.Errorf("%s does not belong into a set of family %s", m, want.Family)
		}
	}
	return nil
}
