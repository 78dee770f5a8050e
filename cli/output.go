package cli

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"neutrino/cli/grid"
	"neutrino/cli/spell"
)

// column is one column of a list, or one field of a show.
type column struct {
	title string
	attr  string
	look  look
	// of makes the value where it is no attribute.
	of func(object) any
}

func (c column) value(o object) any {
	if c.of != nil {
		return c.of(o)
	}
	return o.get(c.attr)
}

// shown is the value as a table shows it.
func (c column) shown(v any) string {
	if c.look != nil {
		return c.look(v)
	}
	return words(v)
}

// output is what -f and its companions say.
type output struct {
	format     string
	columns    []string
	sortBy     []string
	descending bool
	noIndent   bool
	quote      string   // of CSV
	prefix     string   // of the names in the form of a shell
	variables  []string // that a shell is given
	limits     grid.Limits
}

// The formats of a list and of one object. The first is the default.
func listFormats() []string { return []string{"table", "json", "yaml", "value", "csv"} }
func showFormats() []string { return []string{"table", "json", "yaml", "value", "shell"} }

func (o *output) flags(cmd *cobra.Command, formats []string) {
	f := cmd.Flags()
	f.StringVarP(&o.format, "format", "f", formats[0], "how to print: "+strings.Join(formats, ", "))
	f.StringArrayVarP(&o.columns, "column", "c", nil, "print this `COLUMN` only (repeat for more)")
	f.BoolVar(&o.noIndent, "noindent", false, "print JSON on one line")
	o.limits = grid.FromEnvironment(os.Getenv)
	f.IntVar(&o.limits.MaxWidth, "max-width", o.limits.MaxWidth, "squeeze a table into so many characters (CLIFF_MAX_TERM_WIDTH)")
	f.BoolVar(&o.limits.Fit, "fit-width", o.limits.Fit, "squeeze a table into the terminal (CLIFF_FIT_WIDTH=1)")
	f.BoolVar(&o.limits.Empty, "print-empty", false, "print a table without rows too")
	completeWith(cmd, "format", formats...)
	if slices.Contains(formats, "csv") {
		f.Var(&choice{&o.quote, []string{"all", "minimal", "none", "nonnumeric"}}, "quote", "what -f csv quotes (default nonnumeric)")
		completeWith(cmd, "quote", "all", "minimal", "none", "nonnumeric")
	}
	if slices.Contains(formats, "shell") {
		f.StringVar(&o.prefix, "prefix", "", "what stands before the names of -f shell")
		f.StringArrayVar(&o.variables, "variable", nil, "print this variable of -f shell only; -c does the same")
		f.Lookup("variable").Hidden = true
	}
}

func (o *output) sortFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVar(&o.sortBy, "sort-column", nil, "sort by this `COLUMN` (repeat for more)")
	f.BoolVar(&o.descending, "sort-descending", false, "sort downwards")
	f.Bool("sort-ascending", true, "sort upwards")
}

// check finds a format that does not exist before anything is asked for.
func (o *output) check(formats []string) error {
	if slices.Contains(formats, o.format) {
		return nil
	}
	return fmt.Errorf("-f %s is unknown%s; there are %s", o.format, spell.Guess(o.format, formats), strings.Join(formats, ", "))
}

// pick is the columns that -c names, in their own order.
func (o *output) pick(all []column) ([]column, error) {
	if len(o.columns) == 0 {
		return all, nil
	}
	var titles []string
	var picked []column
	for _, c := range all {
		titles = append(titles, c.title)
		if slices.ContainsFunc(o.columns, func(name string) bool { return strings.EqualFold(name, c.title) }) {
			picked = append(picked, c)
		}
	}
	if len(picked) == 0 {
		return nil, fmt.Errorf("no column is called %s%s; the columns are: %s", strings.Join(o.columns, " or "),
			spell.Guess(o.columns[0], titles), strings.Join(titles, ", "))
	}
	return picked, nil
}

// sort sorts the rows by the columns that --sort-column names.
func (o *output) sort(rows []object, all []column) error {
	var by []column
	for _, name := range o.sortBy {
		i := slices.IndexFunc(all, func(c column) bool { return strings.EqualFold(c.title, name) })
		if i < 0 {
			return fmt.Errorf("--sort-column %s is no column of this list", name)
		}
		by = append(by, all[i])
	}
	slices.SortStableFunc(rows, func(a, b object) int {
		for _, c := range by {
			if d := compare(c.value(a), c.value(b)); d != 0 && o.descending {
				return -d
			} else if d != 0 {
				return d
			}
		}
		return 0
	})
	return nil
}

// compare puts numbers in their order and the rest in that of the letters.
func compare(a, b any) int {
	_, n := a.(json.Number)
	_, m := b.(json.Number)
	if n && m {
		return cmp.Compare(number(a), number(b))
	}
	return cmp.Compare(words(a), words(b))
}

// list prints rows.
func (o *output) list(w io.Writer, rows []object, all []column) error {
	if err := o.sort(rows, all); err != nil {
		return err
	}
	cols, err := o.pick(all)
	if err != nil {
		return err
	}
	switch o.format {
	case "json", "yaml":
		list := make([]any, len(rows))
		for i, row := range rows {
			list[i] = record(row, cols)
		}
		return o.document(w, list)
	case "csv":
		return o.csv(w, rows, cols)
	case "value":
		var b strings.Builder
		for _, row := range rows {
			for i, c := range cols {
				if i > 0 {
					b.WriteByte(' ')
				}
				b.WriteString(words(c.value(row)))
			}
			b.WriteByte('\n')
		}
		_, err := io.WriteString(w, b.String())
		return err
	}
	return o.table(w, rows, cols)
}

// one prints one object.
func (o *output) one(w io.Writer, row object, all []column) error {
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b column) int { return cmp.Compare(a.title, b.title) })
	cols, err := o.pick(all)
	if err != nil {
		return err
	}
	switch o.format {
	case "json", "yaml":
		return o.document(w, record(row, cols))
	case "value", "shell":
		var b strings.Builder
		for _, c := range cols {
			value := words(c.value(row))
			if o.format == "shell" {
				title := strings.ReplaceAll(strings.ToLower(c.title), " ", "_")
				if len(o.variables) > 0 && !slices.Contains(o.variables, title) {
					continue
				}
				value = o.prefix + strings.NewReplacer(":", "_", "-", "_").Replace(title) + `="` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`, "`", "\\`").Replace(value) + `"`
			}
			b.WriteString(value + "\n")
		}
		_, err := io.WriteString(w, b.String())
		return err
	}
	return o.fields(w, row, cols)
}

// record is a row with the titles as keys.
func record(row object, cols []column) object {
	o := object{}
	for _, c := range cols {
		o = append(o, member{c.title, c.value(row)})
	}
	return o
}

// document prints JSON or YAML.
func (o *output) document(w io.Writer, v any) error {
	if o.format == "yaml" {
		_, err := io.WriteString(w, yamlOf(v))
		return err
	}
	b, err := marshal(v)
	if err != nil {
		return err
	}
	if !o.noIndent {
		var indented bytes.Buffer
		if err := json.Indent(&indented, b, "", "  "); err != nil {
			return err
		}
		b = indented.Bytes()
	}
	_, err = w.Write(append(b, '\n'))
	return err
}

// choice is an option with few values.
type choice struct {
	to    *string
	among []string
}

func (c *choice) String() string { return "" }

// Type is what stands behind the option in the help.
func (c *choice) Type() string { return "{" + strings.Join(c.among, ",") + "}" }

// Set takes a value, and refuses what is none of them.
func (c *choice) Set(s string) error {
	if !slices.Contains(c.among, s) {
		return fmt.Errorf("%q is none of %s%s", s, strings.Join(c.among, ", "), spell.Guess(s, c.among))
	}
	*c.to = s
	return nil
}

// csv quotes everything but numbers where --quote does not say otherwise, as
// openstackclient does.
func (o *output) csv(w io.Writer, rows []object, cols []column) error {
	var b strings.Builder
	field := func(i int, s string) {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(s)
	}
	for i, c := range cols {
		field(i, o.csvField(c.title, false))
	}
	b.WriteByte('\n')
	for _, row := range rows {
		for i, c := range cols {
			switch v := c.value(row).(type) {
			case nil:
				field(i, o.csvField("", false))
			case bool, json.Number:
				field(i, o.csvField(words(v), c.look == nil))
			default:
				field(i, o.csvField(words(v), false))
			}
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (o *output) csvField(s string, numeric bool) string {
	plain := numeric
	switch o.quote {
	case "all":
		plain = false
	case "minimal":
		plain = !strings.ContainsAny(s, ",\"\r\n")
	case "none":
		plain = true
	}
	if plain {
		return s
	}
	return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
}

// table draws rows.
func (o *output) table(w io.Writer, rows []object, cols []column) error {
	t := grid.Table{Least: 8}
	for _, c := range cols {
		t.Header = append(t.Header, c.title)
		numeric := false
		if len(rows) > 0 {
			_, numeric = c.value(rows[0]).(json.Number)
		}
		t.Right = append(t.Right, numeric && c.look == nil)
	}
	for _, row := range rows {
		var cells []string
		for _, c := range cols {
			cells = append(cells, printable(c.shown(c.value(row))))
		}
		t.Rows = append(t.Rows, cells)
	}
	_, err := fmt.Fprintln(w, t.Draw(o.limits))
	return err
}

// fields draws one object.
func (o *output) fields(w io.Writer, row object, cols []column) error {
	t := grid.Table{Header: []string{"Field", "Value"}, Least: 16}
	for _, c := range cols {
		t.Rows = append(t.Rows, []string{c.title, printable(c.shown(c.value(row)))})
	}
	_, err := fmt.Fprintln(w, t.Draw(o.limits))
	return err
}

// printable keeps a name from moving the terminal's cursor: what the API holds
// may have been written by somebody else.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}
