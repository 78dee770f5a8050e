package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"neutrino/cli/spell"
)

// option is one option of a command, and the attribute that it becomes.
type option struct {
	name string // without --
	arg  string // what stands behind it in the help; empty is the name
	// attr is the attribute, or the parameter of a list; a dot leads into an
	// attribute that is an object. Options of one attribute exclude each other,
	// but for values and the switch that clears them.
	attr    string
	help    string
	value   any                       // of a switch
	flag    bool                      // a switch
	parse   func(string) (any, error) // nil is text; absent{} sets nothing
	choices []string
	of      string // the value names a resource of this kind, and becomes its id
	many    bool   // may be repeated; the attribute is a list
	keys    []key  // the value is key=value,key=value
	clear   bool   // empties the list that another option fills
	replace bool   // "set" replaces the list instead of adding to it
	front   bool   // "set" adds before what is there
	merge   bool   // the attribute is an object, and the values its members
	must    bool
	via     string // a list: the path to read from, with one %s for the value
	here    bool   // a list: the API has no such filter, so the client leaves rows out
	only    string // a switch that must be given, and says nothing else
}

// key is one part of a value of the form key=value,key=value.
type key struct {
	name, attr string
	of         string
	must       bool
}

// absent is what a parser returns for a value that means: do not say.
type absent struct{}

// on and off are a switch and its opposite.
func onOff(on, off, attr, help string) []option {
	return []option{
		{name: on, attr: attr, flag: true, value: true, help: help},
		{name: off, attr: attr, flag: true, value: false, help: "the opposite of --" + on},
	}
}

// given is what stands on the command line for an option.
type given struct {
	option
	texts []string
}

// String, Set and Type make it a flag's value.
func (g *given) String() string { return "" }

// Type is what stands behind the option in the help.
func (g *given) Type() string {
	switch {
	case g.isSwitch():
		return "bool"
	case len(g.choices) > 0 && g.arg == "":
		return "{" + strings.Join(g.choices, ",") + "}"
	case g.arg != "":
		return g.arg
	}
	return "<" + g.name + ">"
}

func (g *given) isSwitch() bool { return g.flag || g.clear || g.only != "" }

// Set takes one value, and refuses what is no choice.
func (g *given) Set(s string) error {
	if g.isSwitch() && s == "false" {
		return nil
	}
	if len(g.choices) > 0 {
		i := slices.IndexFunc(g.choices, func(c string) bool { return strings.EqualFold(c, s) })
		if i < 0 {
			return fmt.Errorf("%q is none of %s%s", s, strings.Join(g.choices, ", "), spell.Guess(s, g.choices))
		}
		s = g.choices[i]
	}
	if len(g.keys) > 0 {
		if _, err := parts(g.keys, s); err != nil {
			return err
		}
	} else if g.parse != nil {
		if _, err := g.parse(s); err != nil {
			return err
		}
	}
	if g.many || g.merge {
		g.texts = append(g.texts, s)
	} else {
		g.texts = []string{s}
	}
	return nil
}

func (g *given) is() bool { return len(g.texts) > 0 }

// attach adds the options to a command.
func (p *program) attach(cmd *cobra.Command, options []option) []*given {
	var all []*given
	for _, o := range withDomains(options) {
		g := &given{option: o}
		help := o.help
		if o.many {
			help += " (repeat for more)"
		}
		if o.must {
			help += " (required)"
		}
		flag := cmd.Flags().VarPF(g, o.name, "", help)
		if g.isSwitch() {
			flag.NoOptDefVal = "true"
		}
		if len(o.choices) > 0 {
			completeWith(cmd, o.name, o.choices...)
		} else if o.of != "" && o.of != projectKind {
			p.completeNames(cmd, o.name, o.of)
		}
		all = append(all, g)
	}
	return all
}

// checkGiven finds options that are missing or exclude each other.
func checkGiven(all []*given) error {
	by := map[string]*given{}
	for _, g := range all {
		if !g.is() {
			if g.must || g.only != "" {
				return fmt.Errorf("--%s is required%s", g.name, g.only)
			}
			continue
		}
		if g.attr == "" || g.clear {
			continue
		}
		if other := by[g.attr]; other != nil {
			return fmt.Errorf("--%s and --%s exclude each other", other.name, g.name)
		}
		by[g.attr] = g
	}
	return nil
}

// values are an option's values, with names turned into ids.
func (s *session) values(ctx context.Context, g *given) ([]any, error) {
	var all []any
	for _, text := range g.texts {
		v, err := s.valueOf(ctx, g.option, text)
		if err != nil {
			return nil, err
		}
		if v != (any)(absent{}) {
			all = append(all, v)
		}
	}
	return all, nil
}

func (s *session) valueOf(ctx context.Context, o option, text string) (any, error) {
	switch {
	case o.flag:
		return o.value, nil
	case len(o.keys) > 0:
		return s.keyed(ctx, o, text)
	case o.of == projectKind:
		return s.projectID(ctx, text, s.domains[o.name])
	case o.of != "":
		return s.id(ctx, o.of, text)
	case o.parse != nil:
		return o.parse(text)
	}
	return text, nil
}

// keyed makes an object of key=value,key=value, with names turned into ids.
func (s *session) keyed(ctx context.Context, o option, text string) (any, error) {
	found, err := parts(o.keys, text)
	if err != nil {
		return nil, err
	}
	for i, m := range found {
		at := slices.IndexFunc(o.keys, func(k key) bool { return k.attr == m.key })
		if of := o.keys[at].of; of != "" {
			if found[i].value, err = s.id(ctx, of, words(m.value)); err != nil {
				return nil, err
			}
		}
	}
	return found, nil
}

// parts reads key=value,key=value. A part without = belongs to the value before
// it.
func parts(keys []key, text string) (object, error) {
	var names, forms []string
	for _, k := range keys {
		names, forms = append(names, k.name), append(forms, k.name+"=<"+k.name+">")
	}
	form := "; the form is " + strings.Join(forms, ",")
	found := object{}
	for part := range strings.SplitSeq(text, ",") {
		name, value, ok := strings.Cut(part, "=")
		if !ok && len(found) > 0 {
			last := &found[len(found)-1]
			last.value = words(last.value) + "," + part
			continue
		}
		i := slices.Index(names, name)
		if i < 0 || !ok {
			return nil, fmt.Errorf("%q is no key%s%s", name, spell.Guess(name, names), form)
		}
		found = found.with(keys[i].attr, value)
	}
	for _, k := range keys {
		if k.must && !found.has(k.attr) {
			return nil, fmt.Errorf("%s is missing%s", k.name, form)
		}
	}
	return found, nil
}

// assign sets an attribute; a dot leads into an object.
func assign(body object, attr string, v any) object {
	outer, inner, nested := strings.Cut(attr, ".")
	if !nested {
		return body.with(attr, v)
	}
	below, _ := body.get(outer).(object)
	return body.with(outer, assign(below, inner, v))
}

// filters are the options of a list as its query. The second result is another
// path to read, where an option leads there.
func (s *session) filters(ctx context.Context, all []*given) (url.Values, string, error) {
	q, path := url.Values{}, ""
	s.domainsIn(all)
	for _, g := range all {
		if g.here {
			continue
		}
		values, err := s.values(ctx, g)
		if err != nil {
			return nil, "", err
		}
		for _, v := range values {
			switch v := v.(type) {
			case object:
				for _, m := range v {
					q.Add(g.attr, m.key+"="+words(m.value))
				}
			case bool:
				q.Add(g.attr, strconv.FormatBool(v))
			case nil:
			default:
				if g.via != "" {
					path = fmt.Sprintf(g.via, url.PathEscape(words(v)))
				} else if g.attr != "" {
					q.Add(g.attr, words(v))
				}
			}
		}
	}
	return q, path, nil
}

// Parsers.

func integer(s string) (any, error) {
	if _, err := strconv.ParseInt(s, 10, 64); err != nil {
		return nil, fmt.Errorf("this is no whole number")
	}
	return json.Number(s), nil
}

// portSpan is a value for the range beside the attribute of a single port.
type portSpan string

// portOrRange reads a port number, or two with a colon between them.
func portOrRange(s string) (any, error) {
	first, last, two := strings.Cut(s, ":")
	if !two {
		return integer(s)
	}
	for _, n := range [...]string{first, last} {
		if _, err := integer(n); err != nil {
			return nil, err
		}
	}
	return portSpan(s), nil
}

func lower(s string) (any, error) { return strings.ToLower(s), nil }

// gateway reads an address, auto or none.
func gateway(s string) (any, error) {
	switch s {
	case "auto":
		return absent{}, nil
	case "none":
		return nil, nil
	}
	return s, nil
}

// jsonOrPair reads a JSON object, or one key=value.
func jsonOrPair(s string) (any, error) {
	if v, err := parseJSON([]byte(s)); err == nil {
		if o, ok := v.(object); ok {
			return o, nil
		}
	}
	k, v, ok := strings.Cut(s, "=")
	if !ok || k == "" {
		return nil, fmt.Errorf("this is neither key=value nor a JSON object")
	}
	return object{{k, v}}, nil
}
