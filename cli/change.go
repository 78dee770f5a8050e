package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"neutrino/cli/spell"
)

// change is a body in the making: from what stands on the command line, and
// what the object holds already.
type change struct {
	given   []*given
	current object // nil for a new object
	body    object
	unset   bool
}

// body makes the attributes that the options say.
func (s *session) body(ctx context.Context, ch change) (object, error) {
	body := ch.body
	s.domainsIn(ch.given)
	for _, g := range ch.given {
		if g.is() && g.clear && g.attr != "" {
			body = assign(body, g.attr, []any{})
		}
	}
	for _, g := range ch.given {
		if !g.is() || g.clear || g.attr == "" {
			continue
		}
		var values []any
		var err error
		if ch.unset && g.merge {
			for _, text := range g.texts { // keys, not values
				values = append(values, text)
			}
		} else if values, err = s.values(ctx, g); err != nil {
			return nil, err
		}
		if len(values) == 0 {
			continue
		}
		value, err := ch.value(g, body, values)
		if err != nil {
			return nil, err
		}
		attr := g.attr
		if r, is := value.(portSpan); is {
			attr, value = attr+"_range", string(r)
		}
		body = assign(body, attr, value)
	}
	for _, g := range ch.given {
		if !g.is() || g.name != extraProperty {
			continue
		}
		var err error
		if body, err = ch.extra(body, g.texts); err != nil {
			return nil, err
		}
	}
	// A cleared profile is an object, not a list.
	for i, m := range body {
		if list, ok := m.value.([]any); ok && len(list) == 0 && m.key == "binding:profile" {
			body[i].value = object{}
		}
	}
	return body, nil
}

// extraProperty is the option for attributes that have none.
const extraProperty = "extra-property"

func extraOptions() []option {
	types := "{str,int,bool,list,dict}"
	return []option{{name: extraProperty, many: true, arg: "[type=" + types + ",]name=<attribute>,value=<value>",
		keys: []key{{name: "type", attr: "type"}, {name: "name", attr: "name", must: true}, {name: "value", attr: "value"}},
		help: "attribute that has no option of its own; the elements of a list or a dict stand apart by a semicolon"}}
}

// extra adds the attributes that --extra-property names; unset empties them.
func (ch change) extra(body object, texts []string) (object, error) {
	for _, text := range texts {
		said, err := parts(extraOptions()[0].keys, text)
		if err != nil {
			return nil, err
		}
		var value any
		if !ch.unset {
			if value, err = typed(said.text("type"), said.text("value")); err != nil {
				return nil, fmt.Errorf("--%s %s: %w", extraProperty, text, err)
			}
		}
		body = body.with(said.text("name"), value)
	}
	return body, nil
}

// typed is a value of a type of --extra-property.
func typed(kind, text string) (any, error) {
	switch kind {
	case "", "str":
		return text, nil
	case "int":
		return integer(text)
	case "bool":
		switch strings.ToLower(text) {
		case "true":
			return true, nil
		case "false":
			return false, nil
		}
		return nil, fmt.Errorf("this is neither true nor false")
	case "list":
		list := []any{}
		for element := range strings.SplitSeq(text, ";") {
			list = append(list, element)
		}
		return list, nil
	case "dict":
		dict := object{}
		for pair := range strings.SplitSeq(text, ";") {
			k, v, ok := strings.Cut(pair, ":")
			if !ok {
				return nil, fmt.Errorf("the form of a dict is key:value;key:value")
			}
			dict = dict.with(k, v)
		}
		return dict, nil
	}
	return nil, fmt.Errorf("%q is no type%s; there are str, int, bool, list and dict", kind, spell.Guess(kind, []string{"str", "int", "bool", "list", "dict"}))
}

// value is the new value of an attribute.
func (ch change) value(g *given, body object, values []any) (any, error) {
	switch {
	case g.merge && ch.unset:
		profile, _ := ch.current.get(g.attr).(object)
		for _, k := range values {
			if !profile.has(words(k)) {
				return nil, fmt.Errorf("there is no %s to take away with --%s", words(k), g.name)
			}
			profile = slices.DeleteFunc(slices.Clone(profile), func(m member) bool { return m.key == words(k) })
		}
		return profile, nil
	case g.merge:
		merged := object{}
		if old, ok := ch.current.get(g.attr).(object); ok && !body.has(g.attr) {
			merged = slices.Clone(old)
		}
		for _, v := range values {
			for _, m := range v.(object) {
				merged = merged.with(m.key, m.value)
			}
		}
		return merged, nil
	case !g.many:
		return values[0], nil
	case ch.unset:
		return without(ch.current, g, values)
	}
	old, _ := ch.current.get(g.attr).([]any)
	if body.has(g.attr) || g.replace {
		old = nil
	}
	fresh := slices.DeleteFunc(slices.Clone(values), func(v any) bool {
		return slices.ContainsFunc(old, func(o any) bool { return same(o, v) })
	})
	if g.front {
		return slices.Concat(fresh, old), nil
	}
	return slices.Concat(old, fresh), nil
}

// without is a list without some elements. An element is meant by all of its
// parts, or by those that only it has.
func without(current object, g *given, values []any) (any, error) {
	old, _ := current.get(g.attr).([]any)
	left := slices.Clone(old)
	for i, v := range values {
		found := []int{}
		for j, o := range left {
			if matches(o, v) {
				found = append(found, j)
			}
		}
		switch {
		case len(found) == 0:
			return nil, fmt.Errorf("there is no such element: --%s %s", g.name, g.texts[i])
		case len(found) > 1:
			return nil, fmt.Errorf("--%s %s means %d elements; say all of their parts", g.name, g.texts[i], len(found))
		}
		left = slices.Delete(left, found[0], found[0]+1)
	}
	if left == nil {
		left = []any{}
	}
	return left, nil
}

func matches(have, want any) bool {
	h, ok := have.(object)
	w, also := want.(object)
	if !ok || !also {
		return same(have, want)
	}
	for _, m := range w {
		if !same(h.get(m.key), m.value) {
			return false
		}
	}
	return true
}

// changeCommand is set and unset.
func (p *program) changeCommand(r *resource, verb string) *cobra.Command {
	f, tags, short := r.set, tagOptions, "Change "
	if verb == "unset" {
		f, tags, short = r.unset, untagOptions, "Take properties from "
	}
	kinds := r.kinds(r.words)
	cmd := &cobra.Command{Use: r.use(r.object()), Short: short + article(r.words), Example: indent(f.example), ValidArgsFunction: p.completeArgs(kinds, false)}
	cmd.Args = exactly(kinds...)
	options := slices.Concat(f.options, extraOptions())
	if r.tags {
		options = slices.Concat(options, tags())
	}
	given := p.attach(cmd, options)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := checkGiven(given); err != nil {
			return err
		}
		s, err := p.open(cmd)
		if err != nil {
			return err
		}
		ctx := cmd.Context()
		parent, args, err := s.parent(ctx, r, args)
		if err != nil {
			return err
		}
		o, err := s.find(ctx, r, parent, args[0])
		if err != nil {
			return err
		}
		ch := change{given: given, current: o, unset: verb == "unset"}
		return s.change(ctx, r, s.item(r, parent, r.key(o)), ch)
	}
	return cmd
}

func (s *session) change(ctx context.Context, r *resource, path string, ch change) error {
	f := r.set
	if ch.unset {
		f = r.unset
	}
	body, err := s.body(ctx, ch)
	if err == nil && f.finish != nil {
		body, err = f.finish(body, ch.given)
	}
	if err != nil {
		return err
	}
	if len(body) > 0 {
		if _, err := s.api.do(ctx, request{method: http.MethodPut, path: path, body: object{{r.one, body}}}); err != nil {
			return err
		}
	}
	_, err = s.tag(ctx, r, ch.current, ch.given)
	return err
}

// tag changes the tags of an object, where an option says so; the result is its
// new tags, nil where nothing is said.
func (s *session) tag(ctx context.Context, r *resource, o object, all []*given) ([]any, error) {
	tags, _ := o.get("tags").([]any)
	tags = slices.Clone(tags)
	said := false
	i := slices.IndexFunc(all, func(g *given) bool { return g.name == "tag" })
	for _, g := range all {
		if g.is() && (g.name == "no-tag" || g.name == "all-tag") {
			said, tags = true, nil
		}
	}
	if !r.tags || i < 0 {
		return nil, nil
	}
	taking := slices.ContainsFunc(all, func(g *given) bool { return g.name == "all-tag" })
	for _, tag := range all[i].texts {
		said = true
		there := slices.Index(tags, any(tag))
		switch {
		case taking && there >= 0:
			tags = slices.Delete(tags, there, there+1)
		case !taking && there < 0:
			tags = append(tags, tag)
		}
	}
	if !said {
		return nil, nil
	}
	if tags == nil {
		tags = []any{}
	}
	path := r.path + "/" + url.PathEscape(o.text("id")) + "/tags"
	_, err := s.api.do(ctx, request{method: http.MethodPut, path: path, body: object{{"tags", tags}}})
	return tags, err
}

// actionCommand is a command between two objects.
func (p *program) actionCommand(a action) *cobra.Command {
	r := p.resource(a.first)
	use, kinds := "_ "+r.object(), []string{a.first}
	var options []option
	if a.routes {
		options = append(options, option{name: "route", attr: "routes", many: true, must: true, arg: "destination=<subnet>,gateway=<ip-address>", keys: routeKeys(), help: "static route"})
	} else {
		use, kinds = use+" <"+a.second.name+">", append(kinds, a.second.of)
	}
	if a.last {
		use, kinds = "_ <"+a.second.name+"> "+r.object(), []string{a.second.of, a.first}
	}
	if a.only != "" {
		options = append(options, option{name: a.only, only: "; there is no other kind", help: "say the kind of agent"})
	}
	cmd := &cobra.Command{Use: use, Short: a.help, Args: exactly(kinds...), Example: indent(a.example), ValidArgsFunction: p.completeArgs(kinds, false)}
	given := p.attach(cmd, options)
	out := &output{}
	if a.routes {
		out.flags(cmd, showFormats())
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := checkGiven(given); err != nil {
			return err
		}
		answer, err := p.act(cmd, a, args, given)
		if err != nil || !a.routes {
			return err
		}
		o, _ := answer.get(r.one).(object)
		return out.one(cmd.OutOrStdout(), o, r.shownFields(o))
	}
	return cmd
}

func (p *program) act(cmd *cobra.Command, a action, args []string, given []*given) (object, error) {
	s, err := p.open(cmd)
	if err != nil {
		return nil, err
	}
	ctx := cmd.Context()
	if a.last {
		args = []string{args[1], args[0]}
	}
	id, err := s.id(ctx, a.first, args[0])
	if err != nil {
		return nil, err
	}
	var body any
	below := a.below
	if a.routes {
		attrs, err := s.body(ctx, change{given: given})
		if err != nil {
			return nil, err
		}
		body = object{{p.resource(a.first).one, attrs}}
	} else {
		second, err := s.id(ctx, a.second.of, args[1])
		if err != nil {
			return nil, err
		}
		body = object{{a.second.attr, second}}
		if a.method == http.MethodDelete {
			below, body = fmt.Sprintf(a.below, second), nil
		}
	}
	return s.api.do(ctx, request{method: a.method, path: s.item(p.resource(a.first), "", id) + "/" + below, body: body})
}
