package auth

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Rule is one rule of the policy: a name, what it demands in oslo.policy's
// language, and the requests that it decides on, as documentation.
type Rule struct {
	Name       string
	Check      string
	Operations []string // "GET /networks/{id}"
	About      string
}

// Target is what a request wants to touch. Attr is the text of an attribute
// that a rule names: "project_id", "shared", or an attribute of the object
// above it: "network:project_id", "ext_parent:project_id",
// "security_group:project_id". Booleans are "true" and "false". Not ok is an
// attribute that the target does not have, or null.
//
// "tenant_id" is always asked for as "project_id", and "target_project" as
// "target_tenant". The rule "shared" asks for "shared" and, where the target has
// none (a port), for "network:shared"; both are as the caller sees them.
type Target interface {
	Attr(name string) (value string, ok bool)
}

// Policy is a compiled set of rules. It never changes; the zero value has no
// rules.
type Policy struct {
	rules    map[string]int // to checks
	checks   []check
	warnings []string
}

// Judge is the policy as it is for one caller: what depends on the caller only
// is worked out once. It is for one request, not for concurrent use.
type Judge struct {
	policy *Policy
	who    Identity
	left   []check // by rule, what depends on the target; nil is not yet folded
}

// NewPolicy compiles the defaults with some of them replaced. A replacement of a
// rule that does not exist is kept when a rule that does exist refers to it, and
// is otherwise a warning: operators keep old files. The error names rule, text
// and place, or the chain of rules that goes in a circle.
func NewPolicy(overrides map[string]string) (*Policy, error) {
	b := newBuilder()
	b.override(overrides)
	var failed []error
	for _, name := range slices.Sorted(maps.Keys(b.texts)) {
		if !b.extra[name] {
			failed = append(failed, b.compile(name, nil))
		}
	}
	if err := errors.Join(failed...); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(b.extra)) {
		if _, used := b.compiled[name]; !used {
			b.warn("rule %q decides on nothing: no request and no other rule asks for it", name)
		}
	}
	p := &Policy{rules: map[string]int{}, warnings: b.warnings}
	for _, name := range slices.Sorted(maps.Keys(b.compiled)) {
		p.rules[name] = len(p.rules)
	}
	for old, name := range b.renamed {
		p.rules[old] = p.rules[name]
	}
	p.checks = make([]check, len(b.compiled))
	for name, c := range b.compiled {
		p.checks[p.rules[name]] = link(c, p.rules)
	}
	return p, nil
}

// builder compiles rules together with those that they refer to.
type builder struct {
	texts    map[string]string
	renamed  map[string]string // old name to new
	extra    map[string]bool   // rules that only the operator names
	compiled map[string]check
	refused  map[string]bool
	warnings []string
}

func newBuilder() *builder {
	b := &builder{texts: map[string]string{}, renamed: renamed(), extra: map[string]bool{}, compiled: map[string]check{}, refused: map[string]bool{}}
	for _, r := range Defaults() {
		b.texts[r.Name] = r.Check
	}
	return b
}

func (b *builder) warn(format string, args ...any) {
	b.warnings = append(b.warnings, fmt.Sprintf(format, args...))
}

// override puts the operator's texts in. An old name of a rule stands for the new
// one: else who had narrowed a rule would find it wide open again.
func (b *builder) override(overrides map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(overrides)) {
		if now, ok := b.renamed[name]; ok {
			if _, both := overrides[now]; both {
				b.warn("rule %q is an old name of %q, which is there too and wins", name, now)
				continue
			}
			b.warn("rule %q is now called %q", name, now)
			b.texts[now] = overrides[name]
			continue
		}
		if _, ok := b.texts[name]; !ok {
			b.extra[name] = true
		}
		b.texts[name] = overrides[name]
	}
}

// compile compiles a rule and all that it refers to. chain is how it was reached.
// What is wrong with a rule is said once, not again for all that refer to it.
func (b *builder) compile(name string, chain []string) error {
	if now, ok := b.renamed[name]; ok {
		name = now
	}
	if _, done := b.compiled[name]; done || b.refused[name] {
		return nil
	}
	if i := slices.Index(chain, name); i >= 0 {
		return fmt.Errorf("policy: rule %q refers to itself: %s", name, strings.Join(append(chain[i:], name), " -> "))
	}
	chain = append(slices.Clone(chain), name)
	text, ok := b.texts[name]
	if !ok {
		return fmt.Errorf("policy: rule %q refers to a rule that does not exist: %s", chain[len(chain)-2], strings.Join(chain, " -> "))
	}
	c, err := parseCheck(text)
	if err != nil {
		err = fmt.Errorf("policy: rule %q: %w", name, err)
	}
	for _, to := range references(c) {
		if err = b.compile(to, chain); err != nil {
			break
		}
	}
	if err != nil {
		b.refused[name] = true
		return err
	}
	b.compiled[name] = c
	return nil
}

// references are the rules that a check names.
func references(c check) []string {
	var out []string
	switch c := c.(type) {
	case reference:
		out = append(out, c.name)
	case negation:
		out = references(c.of)
	case allOf:
		for _, part := range c {
			out = append(out, references(part)...)
		}
	case anyOf:
		for _, part := range c {
			out = append(out, references(part)...)
		}
	}
	return out
}

// link puts the numbers of rules into the references to them.
func link(c check, rules map[string]int) check {
	linkAll := func(list []check) []check {
		out := make([]check, len(list))
		for i, part := range list {
			out[i] = link(part, rules)
		}
		return out
	}
	switch c := c.(type) {
	case reference:
		return reference{c.name, rules[c.name]}
	case negation:
		return negation{link(c.of, rules)}
	case allOf:
		return allOf(linkAll(c))
	case anyOf:
		return anyOf(linkAll(c))
	}
	return c
}

// Warnings are what an operator should know about the overrides, in order.
func (p *Policy) Warnings() []string { return slices.Clone(p.warnings) }

// Has reports whether the policy has the rule.
func (p *Policy) Has(rule string) bool { _, ok := p.rules[rule]; return ok }

// For is the policy as it is for the caller.
func (p *Policy) For(who Identity) *Judge { return &Judge{policy: p, who: who} }

// Allows reports whether the rule lets the caller touch the target; a nil target
// has no attributes. A rule that does not exist allows nothing.
func (j *Judge) Allows(rule string, t Target) bool {
	i, ok := j.policy.rules[rule]
	if !ok {
		return false
	}
	if t == nil {
		t = nothing{}
	}
	return j.folded(i).allows(t)
}

// Decided reports what the rule says when it depends on the caller only; known
// is false when it depends on the target.
func (j *Judge) Decided(rule string) (allowed, known bool) {
	i, ok := j.policy.rules[rule]
	if !ok {
		return false, true
	}
	v, known := j.folded(i).(verdict)
	return bool(v), known
}

// Again is a Judge of the same caller, for another goroutine.
func (j *Judge) Again() *Judge { return j.policy.For(j.who) }

// folded is what of a rule is left for the caller.
func (j *Judge) folded(rule int) check {
	if j.left == nil {
		j.left = make([]check, len(j.policy.checks))
	}
	if j.left[rule] == nil {
		j.left[rule] = j.policy.checks[rule].fold(j)
	}
	return j.left[rule]
}

// nothing is a target without attributes.
type nothing struct{}

// Attr knows no attribute.
func (nothing) Attr(string) (string, bool) { return "", false }
