package conntrack

import (
	"fmt"
	"net/netip"
	"strings"
)

// memberSets are the ipsets that lines may name, parsed when one does.
type memberSets struct {
	members map[string]string
	parsed  map[string]*memberSet
}

// memberSet is an ipset as a question: single addresses, and wider networks.
type memberSet struct {
	single map[netip.Addr]bool
	wide   []netip.Prefix
}

func (s memberSets) get(name string) (*memberSet, error) {
	if set := s.parsed[name]; set != nil {
		return set, nil
	}
	text, ok := s.members[name]
	if !ok {
		return nil, fmt.Errorf("ipset %q is in no plan", name)
	}
	set := &memberSet{single: map[netip.Addr]bool{}}
	for m := range strings.SplitSeq(text, "\n") {
		if m == "" {
			continue
		}
		p, err := parsePrefix(m)
		if err != nil {
			return nil, fmt.Errorf("member %q of ipset %s: %w", m, name, err)
		}
		if p.IsSingleIP() {
			set.single[p.Addr()] = true
		} else {
			set.wide = append(set.wide, p)
		}
	}
	s.parsed[name] = set
	return set, nil
}

func (s *memberSet) contains(a netip.Addr) bool {
	if s.single[a] {
		return true
	}
	for _, p := range s.wide {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
