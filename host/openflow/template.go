package openflow

import (
	"fmt"
	"strconv"
	"strings"
	"sync"

	"neutrino/host"
)

// CookieMark is set in the cookie of every flow that this package writes, in
// the bits of CookieMask: on an operator's bridge it says which flows are ours.
const (
	CookieMark uint64 = 0x6e75 << 48
	CookieMask uint64 = 0xffff << 48
)

// template is a flow's text in canonical form and its encoding, with holes
// where port numbers belong.
type template struct {
	match, actions string
	wire           []byte // OXM fields, then instructions
	matchLen       int
	holes          []hole
}

// maxWire leaves room for the headers of a flow-mod in a bundle.
const maxWire = 0xffff - 128

// scratch is space for one flow at a time.
type scratch struct {
	terms   match
	actions []action
}

func makeTemplate(bridge, matchText, actionText string) (*template, error) {
	var s scratch
	return s.template(bridge, matchText, actionText)
}

func (s *scratch) template(bridge, matchText, actionText string) (*template, error) {
	m, err := parseMatch(matchText, bridge, s.terms)
	if err != nil {
		return nil, err
	}
	hasVLAN := m.hasVLAN()
	p := actionParser{bridge: bridge, hasVLAN: hasVLAN, actions: s.actions[:0]}
	actions, err := p.parse(actionText)
	if err != nil {
		return nil, err
	}
	s.terms, s.actions = m, actions
	var buf [512]byte
	t := &template{}
	// One statement each: they share the buffer.
	t.match = string(m.appendText(buf[:0]))
	t.actions = string(appendActions(buf[:0], actions, hasVLAN))
	wire, holes := m.appendWire(buf[:0], nil)
	t.matchLen = len(wire)
	wire, t.holes = appendInstructions(wire, actions, holes)
	if len(wire) > maxWire {
		return nil, errTooLong
	}
	t.wire = append(make([]byte, 0, len(wire)), wire...)
	return t, nil
}

// resolve fills the holes: the encoding, and the numbers of its ports in order.
// missing is the first port that is not there.
func (t *template) resolve(ports map[string]uint32) (wire []byte, numbers []uint32, missing string) {
	if len(t.holes) == 0 {
		return t.wire, nil, ""
	}
	wire = append(make([]byte, 0, len(t.wire)), t.wire...)
	numbers = make([]uint32, len(t.holes))
	for i, h := range t.holes {
		n := h.port.number
		if h.port.name != "" {
			var ok bool
			if n, ok = ports[h.port.name]; !ok {
				return nil, nil, h.port.name
			}
		}
		h.fill(wire, n)
		numbers[i] = n
	}
	return wire, numbers, ""
}

// stamp is the cookie of a flow: its content, with its ports as numbers, under
// our mark. It is the FNV-1a hash, which stays the same from one run to the next.
func stamp(k host.FlowKey, actions string, ports []uint32) uint64 {
	const prime = 0x100000001b3
	h := uint64(0xcbf29ce484222325)
	text := func(s string) {
		for i := 0; i < len(s); i++ {
			h = (h ^ uint64(s[i])) * prime
		}
		h = (h ^ 0xff) * prime
	}
	num := func(n uint32) {
		for shift := 0; shift < 32; shift += 8 {
			h = (h ^ uint64(byte(n>>shift))) * prime
		}
	}
	text(k.Bridge)
	num(uint32(k.Table))
	num(uint32(k.Priority))
	text(k.Match)
	text(actions)
	for _, p := range ports {
		num(p)
	}
	return CookieMark | (h^h>>48)&^CookieMask
}

// Canonical is a flow with its texts in canonical form: the form in which Read
// gives it back. The error names the text that is not understood.
func Canonical(k host.FlowKey, f host.Flow) (host.FlowKey, host.Flow, error) {
	t, err := makeTemplate(k.Bridge, k.Match, f.Actions)
	if err != nil {
		return k, f, err
	}
	k.Match, f.Actions = t.match, t.actions
	return k, f, nil
}

// templates keeps what flow texts became, so that a plan made again costs a
// look-up for each flow. What the last generations did not use is forgotten.
type templates struct {
	mu  sync.Mutex
	gen uint32
	s   scratch
	m   map[templateKey]*templateEntry
}

type templateKey struct{ bridge, match, actions string }

type templateEntry struct {
	t    *template
	err  error
	used uint32
}

// keepGenerations is how many plans long an unused text stays.
const keepGenerations = 4

// get is the template of a text, made if need be. The lock is held.
func (c *templates) get(k host.FlowKey, actions string) (*template, error) {
	key := templateKey{k.Bridge, k.Match, actions}
	e := c.m[key]
	if e == nil {
		e = &templateEntry{}
		e.t, e.err = c.s.template(k.Bridge, k.Match, actions)
		c.m[key] = e
		if e.err == nil {
			c.m[templateKey{k.Bridge, e.t.match, e.t.actions}] = e
		}
	}
	e.used = c.gen
	return e.t, e.err
}

// sweep forgets texts that no plan of late has used.
func (c *templates) sweep(wanted int) {
	c.gen++
	if len(c.m) < 4*wanted+1024 {
		return
	}
	for k, e := range c.m {
		if c.gen-e.used > keepGenerations {
			delete(c.m, k)
		}
	}
}

// canonicalise is [Hand.Canonicalise].
func (c *templates) canonicalise(flows map[host.FlowKey]host.Flow) (map[host.FlowKey]host.Flow, []error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sweep(len(flows))
	out := make(map[host.FlowKey]host.Flow, len(flows))
	var errs []error
	for k, f := range flows {
		t, err := c.get(k, f.Actions)
		if err != nil {
			errs = append(errs, itemError(k, f.Why, err))
			out[k] = f
			continue
		}
		ck := k
		ck.Match = t.match
		if other, taken := out[ck]; taken {
			errs = append(errs, itemError(k, f.Why, fmt.Errorf("two flows have the match %q", t.match)),
				itemError(ck, other.Why, fmt.Errorf("two flows have the match %q", t.match)))
			// The choice must not hang on the order of a map.
			if other.Actions <= t.actions {
				continue
			}
		}
		f.Actions = t.actions
		out[ck] = f
	}
	return out, errs
}

// flowName is a flow in an error: "flow br-int table=0 priority=2 in_port=tap1".
func flowName(k host.FlowKey) string {
	var b strings.Builder
	b.WriteString("flow ")
	b.WriteString(k.Bridge)
	b.WriteString(" table=")
	b.WriteString(strconv.Itoa(int(k.Table)))
	b.WriteString(" priority=")
	b.WriteString(strconv.Itoa(int(k.Priority)))
	if k.Match != "" {
		b.WriteByte(' ')
		b.WriteString(k.Match)
	}
	return b.String()
}

func itemError(k host.FlowKey, why host.Why, err error) *host.ItemError {
	return &host.ItemError{Item: flowName(k), Why: why, Err: err}
}
