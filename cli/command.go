package cli

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// kinds are what the arguments of a command name: the parent, where the
// resource has one, and then the rest.
func (r *resource) kinds(rest ...string) []string {
	if r.under != "" {
		return append([]string{r.under}, rest...)
	}
	return rest
}

// use is the line of arguments in the help.
func (r *resource) use(rest string) string {
	line := "_"
	if r.under != "" {
		line += " <" + strings.ReplaceAll(r.under, " ", "-") + ">"
	}
	if rest != "" {
		line += " " + rest
	}
	return line
}

// object is how the help calls one object in a line of arguments.
func (r *resource) object() string {
	words := strings.Fields(r.words)
	if r.words == "floating ip" || r.words == "subnet pool" || r.words == "address scope" {
		return "<" + strings.Join(words, "-") + ">"
	}
	return "<" + words[len(words)-1] + ">"
}

// parent is the id of the parent in the first argument, and the rest of the
// arguments.
func (s *session) parent(ctx context.Context, r *resource, args []string) (string, []string, error) {
	if r.under == "" {
		return "", args, nil
	}
	id, err := s.id(ctx, r.under, args[0])
	return id, args[1:], err
}

// exactly wants so many arguments and names those that are missing.
func exactly(names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) < len(names) {
			return fmt.Errorf("<%s> is missing", names[len(args)])
		}
		if len(args) > len(names) {
			return fmt.Errorf("%q is one argument too many", args[len(names)])
		}
		return nil
	}
}

func (p *program) listCommand(r *resource) *cobra.Command {
	out := &output{}
	cmd := &cobra.Command{Use: r.use(""), Short: "List " + strings.TrimPrefix(r.plural(2), "2 "), ValidArgsFunction: p.completeArgs(r.kinds(), false)}
	cmd.Args = exactly(r.kinds()...)
	filters := r.filters
	if r.words == "security group rule" {
		cmd.Use, cmd.Args = "_ [<group>]", cobra.MaximumNArgs(1)
		cmd.ValidArgsFunction = p.completeArgs([]string{"security group"}, false)
	}
	if r.tags {
		filters = slices.Concat(filters, tagFilters())
	}
	given := p.attach(cmd, filters)
	out.flags(cmd, listFormats())
	out.sortFlags(cmd)
	cmd.Example = "  neutrino " + r.words + " list" + strings.Repeat(" <id>", len(r.kinds())) + " -f json -c " + fmt.Sprintf("%q", r.columns[0].title)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return p.list(cmd, listing{r, out, given}, args)
	}
	return cmd
}

// listing is one list command.
type listing struct {
	*resource
	out   *output
	given []*given
}

func (p *program) list(cmd *cobra.Command, l listing, args []string) error {
	if err := firstError(l.out.check(listFormats()), checkGiven(l.given)); err != nil {
		return err
	}
	s, err := p.open(cmd)
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	query, path, err := s.filters(ctx, l.given)
	if err != nil {
		return err
	}
	cols := l.columns
	parent := ""
	if l.words == "security group rule" && len(args) == 1 {
		id, err := s.id(ctx, "security group", args[0])
		if err != nil {
			return err
		}
		query.Set("security_group_id", id)
		cols = cols[:len(cols)-1] // the group is the same in every row
	} else if parent, _, err = s.parent(ctx, l.resource, args); err != nil {
		return err
	}
	if path == "" {
		path = s.collection(l.resource, parent)
	}
	rows, err := s.api.list(ctx, request{path: path, query: query}, l.many)
	if err != nil {
		return err
	}
	rows = kept(rows, l.given)
	if l.long != nil && slices.ContainsFunc(l.given, func(g *given) bool { return g.name == "long" && g.is() }) {
		cols = l.long
	}
	return l.out.list(cmd.OutOrStdout(), rows, l.present(rows, cols))
}

// kept leaves out what the options say that the API has no filter for: each
// asks for an element of a list.
func kept(rows []object, all []*given) []object {
	for _, g := range all {
		for _, text := range g.texts {
			if !g.here {
				break
			}
			rows = slices.DeleteFunc(rows, func(o object) bool {
				list, _ := o.get(g.attr).([]any)
				return !slices.Contains(list, any(text))
			})
		}
	}
	return rows
}

// present adds the columns that some row has.
func (l listing) present(rows []object, cols []column) []column {
	at := len(l.columns)
	for _, c := range l.sometimes {
		if slices.ContainsFunc(rows, func(o object) bool { return o.get(c.attr) != nil }) {
			cols = slices.Insert(slices.Clone(cols), at, c)
			at++
		}
	}
	return cols
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *program) showCommand(r *resource) *cobra.Command {
	out := &output{}
	kinds := r.kinds(r.words)
	cmd := &cobra.Command{Use: r.use(r.object()), Short: "Show " + article(r.words), ValidArgsFunction: p.completeArgs(kinds, false)}
	cmd.Args = exactly(kinds...)
	out.flags(cmd, showFormats())
	cmd.Example = "  neutrino " + r.words + " show" + strings.Repeat(" <id>", len(kinds)) + " -f json"
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := out.check(showFormats()); err != nil {
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
		if err == nil && r.dress != nil {
			o, err = r.dress(ctx, s, o)
		}
		if err != nil {
			return err
		}
		return out.one(cmd.OutOrStdout(), o, r.shownFields(o))
	}
	return cmd
}

// shownFields are the fields of an object, without those that the API shows to
// some only.
func (r *resource) shownFields(o object) []column {
	hidden := func(c column) bool {
		optional := c.attr == "interfaces_info" || slices.ContainsFunc(r.sometimes, func(s column) bool { return s.attr == c.attr })
		return optional && o.get(c.attr) == nil
	}
	return slices.DeleteFunc(slices.Clone(r.fields), hidden)
}

func article(words string) string {
	if strings.ContainsRune("aeiouAEIOU", rune(words[0])) {
		return "an " + words
	}
	return "a " + words
}

func (p *program) createCommand(r *resource) *cobra.Command {
	out := &output{}
	var names, shown []string
	kinds := r.kinds()
	for _, a := range r.create.args {
		names = append(names, a.name)
		shown = append(shown, "<"+a.name+">")
		kinds = append(kinds, a.of)
	}
	cmd := &cobra.Command{Use: r.use(strings.Join(shown, " ")), Short: "Create " + article(r.words), ValidArgsFunction: p.completeArgs(kinds, false)}
	cmd.Args = exactly(append(r.kinds(), names...)...)
	cmd.Example = indent(r.create.example)
	options := slices.Concat(r.create.options, extraOptions())
	if r.tags {
		options = slices.Concat(options, tagOptions())
	}
	given := p.attach(cmd, options)
	out.flags(cmd, showFormats())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := firstError(out.check(showFormats()), checkGiven(given)); err != nil {
			return err
		}
		o, err := p.create(cmd, r, args, given)
		if err != nil {
			return err
		}
		return out.one(cmd.OutOrStdout(), o, r.shownFields(o))
	}
	return cmd
}

func indent(example string) string {
	if example == "" {
		return ""
	}
	return "  " + strings.ReplaceAll(example, "\n", "\n  ")
}

func (p *program) create(cmd *cobra.Command, r *resource, args []string, given []*given) (object, error) {
	s, err := p.open(cmd)
	if err != nil {
		return nil, err
	}
	ctx := cmd.Context()
	parent, args, err := s.parent(ctx, r, args)
	if err != nil {
		return nil, err
	}
	body, err := s.fresh(ctx, *r.create, args, given)
	if err != nil {
		return nil, err
	}
	answer, err := s.api.do(ctx, request{method: http.MethodPost, path: s.collection(r, parent), body: object{{r.one, body}}})
	if err != nil {
		return nil, err
	}
	o, ok := answer.get(r.one).(object)
	if !ok {
		return nil, fmt.Errorf("the answer holds no %s", r.one)
	}
	tags, err := s.tag(ctx, r, o, given)
	if err != nil {
		return nil, fmt.Errorf("%s %s is created, but its tags are not set: %w", r.words, o.text("id"), err)
	}
	if tags != nil {
		o = o.with("tags", tags)
	}
	return o, nil
}

// fresh is the body of a new object.
func (s *session) fresh(ctx context.Context, f form, args []string, given []*given) (object, error) {
	body := object{}
	var err error
	for i, a := range f.args[:min(len(args), len(f.args))] {
		value, of := args[i], a.of
		if a.kind != nil {
			of = a.kind(given)
		}
		if of != "" {
			if value, err = s.id(ctx, of, value); err != nil {
				return nil, err
			}
		}
		body = body.with(a.attr, value)
	}
	body, err = s.body(ctx, change{given: given, body: body})
	if err == nil && f.finish != nil {
		body, err = f.finish(body, given)
	}
	return body, err
}

func (p *program) deleteCommand(r *resource) *cobra.Command {
	kinds := r.kinds(r.words)
	cmd := &cobra.Command{Use: r.use(r.object() + " [" + r.object() + "...]"), Short: "Delete " + strings.TrimPrefix(r.plural(2), "2 "),
		ValidArgsFunction: p.completeArgs(kinds, true)}
	cmd.Args = func(c *cobra.Command, args []string) error {
		return exactly(kinds...)(c, args[:min(len(args), len(kinds))])
	}
	cmd.Example = "  neutrino " + r.words + " delete" + strings.Repeat(" <id>", len(kinds)+1)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := p.open(cmd)
		if err != nil {
			return err
		}
		parent, args, err := s.parent(cmd.Context(), r, args)
		if err != nil {
			return err
		}
		failed := 0
		for _, word := range args {
			if err := s.remove(cmd.Context(), r, parent, word); err != nil {
				failed++
				fmt.Fprintf(cmd.ErrOrStderr(), "Failed to delete %s %s: %v\n", r.words, word, err)
			}
		}
		if failed > 0 {
			return fmt.Errorf("%d of %s failed to delete", failed, r.plural(len(args)))
		}
		return nil
	}
	return cmd
}

func (s *session) remove(ctx context.Context, r *resource, parent, word string) error {
	o, err := s.find(ctx, r, parent, word)
	if err != nil {
		return err
	}
	_, err = s.api.do(ctx, request{method: http.MethodDelete, path: s.item(r, parent, r.key(o))})
	return err
}
