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

// classic is a resource as the command neutron names it.
type classic struct {
	prefix string // "net", of net-list
	words  string // the resource's words in the grammar of openstackclient
	list   string // the columns of the list
	noun   string // in messages, "network"

	args    []argument // of create
	options []option   // of create and update
	finish  func(body object, all []*given) (object, error)
	verbs   string // of create, list, show, update and delete, those there are
}

// Neutron is the root of the command by the name neutron (and quantum): the
// verbs of the seed and the tables that they had.
func Neutron() *cobra.Command { return newProgram(system()).neutron() }

func (p *program) neutron() *cobra.Command {
	root := &cobra.Command{Use: "neutron", Short: "The Networking API in its first command line", SilenceUsage: true, SilenceErrors: true,
		Long: "neutron is neutrino by its old name: the commands net-create, subnet-create, router-gateway-set and so on.\n" +
			"The same and more, in the grammar of the openstack client, is in neutrino network, neutrino subnet, …"}
	root.SetFlagErrorFunc(flagError)
	for _, c := range classics() {
		for verb := range strings.FieldsSeq(c.verbs) {
			root.AddCommand(p.classicCommand(c, verb))
		}
	}
	for _, v := range verbs() {
		root.AddCommand(p.verbCommand(v))
	}
	root.AddCommand(p.classicQuotas()...)
	root.AddCommand(p.classicTags()...)
	for _, l := range linkedLists() {
		root.AddCommand(p.linkedCommand(l))
	}
	root.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		var names []string
		for _, c := range cmd.Commands() {
			names = append(names, c.Name())
		}
		return fmt.Errorf("%q is no command of neutron%s", args[0], spell.Guess(args[0], names))
	}
	root.Args = cobra.ArbitraryArgs
	p.identityFlags(root)
	p.oldIdentityFlags(root)
	return root
}

// oldIdentityFlags are the options of the old client for the same things.
func (p *program) oldIdentityFlags(root *cobra.Command) {
	f := root.PersistentFlags()
	f.StringVar(p.said["endpoint"], "os-url", "", "the same as --os-endpoint")
	f.StringVar(p.said["project-name"], "os-tenant-name", "", "the same as --os-project-name")
	f.StringVar(p.said["project-id"], "os-tenant-id", "", "the same as --os-project-id")
	strategy := &given{option: option{name: "os-auth-strategy", choices: []string{"noauth", "keystone"}}}
	f.Var(strategy, "os-auth-strategy", "the same as --os-auth-type none and password")
	root.PersistentPreRun = func(*cobra.Command, []string) {
		if strategy.is() && *p.said["auth-type"] == "" {
			*p.said["auth-type"] = map[string]string{"noauth": "none", "keystone": "password"}[strategy.texts[0]]
		}
	}
}

// classicCommand is one verb of a resource.
func (p *program) classicCommand(c classic, verb string) *cobra.Command {
	r, out := p.resource(c.words), &output{}
	one := "<" + strings.ToUpper(c.noun) + ">"
	cmd := &cobra.Command{Use: c.prefix + "-" + verb}
	var given []*given
	switch verb {
	case "list":
		cmd.Short, cmd.Args = "List "+c.noun+"s", cobra.NoArgs
		given = p.attach(cmd, slices.DeleteFunc(slices.Concat(r.filters, []option{{name: "tenant-id", attr: "project_id", help: "list those of this project"}}),
			func(o option) bool { return o.name == "long" || o.via != "" || o.name == "project" }))
		if r.tags {
			given = append(given, p.attach(cmd, classicTagFilters())...)
		}
		out.sortFlags(cmd)
		out.flags(cmd, listFormats())
	case "show":
		cmd.Use, cmd.Short, cmd.Args = cmd.Use+" "+one, "Show "+article(c.noun), exactly(c.noun)
		out.flags(cmd, showFormats())
	case "delete":
		cmd.Use, cmd.Short, cmd.Args = cmd.Use+" "+one+"...", "Delete "+c.noun+"s", cobra.MinimumNArgs(1)
	case "update":
		cmd.Use, cmd.Short, cmd.Args = cmd.Use+" "+one, "Change "+article(c.noun), exactly(c.noun)
		options := slices.DeleteFunc(slices.Clone(c.options), func(o option) bool { return o.name == "name" })
		given = p.attach(cmd, append(options, nameOption()))
	case "create":
		cmd.Short = "Create " + article(c.noun)
		cmd.Use, cmd.Args = cmd.Use+classicArguments(c.args), atMost(c.args)
		given = p.attach(cmd, append(slices.Clone(c.options), option{name: "tenant-id", attr: "project_id", help: "owner's project"}))
		out.flags(cmd, showFormats())
	}
	if verb != "list" && verb != "create" {
		cmd.ValidArgsFunction = p.completeArgs([]string{r.words}, verb == "delete")
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := checkGiven(given); err != nil {
			return err
		}
		s, err := p.open(cmd)
		if err != nil {
			return err
		}
		return s.classic(cmd, oldCommand{c, r, out, given, verb}, args)
	}
	return cmd
}

// classicArguments are the arguments in the help.
func classicArguments(args []argument) string {
	text := ""
	for _, a := range args {
		name := "<" + strings.ToUpper(a.name) + ">"
		if a.optional {
			name = "[" + name + "]"
		}
		text += " " + name
	}
	return text
}

// atMost wants the arguments that are not optional.
func atMost(args []argument) cobra.PositionalArgs {
	return func(cmd *cobra.Command, words []string) error {
		var names []string
		for i, a := range args {
			if !a.optional || i < len(words) {
				names = append(names, a.name)
			}
		}
		return exactly(names...)(cmd, words)
	}
}

// oldCommand is one command of neutron, ready to run.
type oldCommand struct {
	classic
	*resource
	out   *output
	given []*given
	verb  string
}

func (s *session) classic(cmd *cobra.Command, old oldCommand, args []string) error {
	switch old.verb {
	case "list":
		return s.classicList(cmd, old)
	case "show":
		o, err := s.find(cmd.Context(), old.resource, "", args[0])
		if err != nil {
			return err
		}
		return old.out.one(cmd.OutOrStdout(), o, oldFields(o))
	case "delete":
		return s.classicDelete(cmd, old, args)
	case "update":
		return s.classicUpdate(cmd, old, args[0])
	}
	return s.classicCreate(cmd, old, args)
}

// oldFields are all attributes of an object, as the old tables showed them.
func oldFields(o object) []column {
	var cols []column
	for _, m := range o {
		cols = append(cols, column{title: m.key, attr: m.key, look: oldLook})
	}
	return cols
}

// oldLook shows a value as the old tables did: JSON, one element a line, and
// nothing for null.
func oldLook(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case object:
		return spacedJSON(v)
	case []any:
		return lines(oldLook)(v)
	}
	return words(v)
}

func (s *session) classicList(cmd *cobra.Command, old oldCommand) error {
	ctx := cmd.Context()
	query, _, err := s.filters(ctx, old.given)
	if err != nil {
		return err
	}
	rows, err := s.api.list(ctx, request{path: old.path, query: query}, old.resource.many)
	if err != nil {
		return err
	}
	rows = kept(rows, old.given)
	looks := map[string]look{"alive": oldAlive}
	switch old.prefix {
	case "net":
		err = s.joinSubnets(ctx, rows)
	case "security-group-rule":
		err = s.joinGroups(ctx, rows)
	case "security-group":
		looks["security_group_rules"] = oldRules
	case "router":
		looks["external_gateway_info"] = spacedJSON
	}
	if err != nil {
		return err
	}
	return old.out.list(cmd.OutOrStdout(), rows, oldColumns(old.list, looks))
}

// oldColumns are the columns of an old list, from one string of their names.
func oldColumns(names string, looks map[string]look) []column {
	var cols []column
	for name := range strings.FieldsSeq(names) {
		c := column{title: name, attr: name, look: oldLook}
		if l := looks[name]; l != nil {
			c.look = l
		}
		cols = append(cols, c)
	}
	return cols
}

func oldAlive(v any) string {
	if v == true {
		return ":-)"
	}
	return "xxx"
}

// joinSubnets puts each subnet's range behind its id.
func (s *session) joinSubnets(ctx context.Context, rows []object) error {
	if len(rows) == 0 {
		return nil
	}
	subnets, err := s.api.list(ctx, request{path: "subnets", query: url.Values{"fields": {"id", "cidr"}}}, "subnets")
	if err != nil {
		return err
	}
	ranges := map[string]string{}
	for _, sub := range subnets {
		ranges[sub.text("id")] = sub.text("cidr")
	}
	for _, row := range rows {
		ids, _ := row.get("subnets").([]any)
		joined := make([]any, len(ids))
		for i, id := range ids {
			joined[i] = strings.TrimSpace(words(id) + " " + ranges[words(id)])
		}
		row.with("subnets", joined)
	}
	return nil
}

// joinGroups makes the columns of security-group-rule-list.
func (s *session) joinGroups(ctx context.Context, rows []object) error {
	groups, err := s.api.list(ctx, request{path: "security-groups", query: url.Values{"fields": {"id", "name"}}}, "security_groups")
	if err != nil {
		return err
	}
	names := map[any]string{}
	for _, g := range groups {
		names[g.get("id")] = g.text("name")
	}
	for i, row := range rows {
		group := names[row.get("security_group_id")]
		if group == "" {
			group = row.text("security_group_id")
		}
		remote := row.text("remote_ip_prefix")
		if remote != "" {
			remote += " (CIDR)"
		} else if id := row.get("remote_group_id"); id != nil {
			remote = names[id]
			if remote == "" {
				remote = words(id)
			}
			remote += " (group)"
		} else {
			remote = "any"
		}
		protocol := oldPorts(row)
		if protocol == "" {
			protocol = "any"
		}
		rows[i] = row.with("security_group", group).with("port/protocol", protocol).with("remote", remote)
	}
	return nil
}

// oldPorts is the protocol and the ports of a rule.
func oldPorts(rule object) string {
	protocol, from, to := rule.text("protocol"), rule.get("port_range_min"), rule.get("port_range_max")
	switch {
	case from == nil && to == nil:
		return protocol
	case slices.Contains(icmpNames(), protocol):
		text := protocol
		if from != nil {
			text += " (type:" + words(from)
			if to != nil {
				text += ", code:" + words(to)
			}
			text += ")"
		}
		return text
	case same(from, to):
		return words(from) + "/" + protocol
	}
	return words(from) + "-" + words(to) + "/" + protocol
}

// oldRules shows the rules inside a group, a line each.
func oldRules(v any) string {
	rules, _ := v.([]any)
	var all []string
	for _, each := range rules {
		rule, _ := each.(object)
		parts := []string{rule.text("direction"), rule.text("ethertype")}
		if p := oldPorts(rule); p != "" {
			parts = append(parts, p)
		}
		for _, attr := range []string{"remote_ip_prefix", "remote_group_id"} {
			if value := rule.text(attr); value != "" {
				parts = append(parts, attr+": "+value)
			}
		}
		all = append(all, strings.Join(parts, ", "))
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}

func (s *session) classicCreate(cmd *cobra.Command, old oldCommand, args []string) error {
	ctx := cmd.Context()
	body, err := s.fresh(ctx, form{args: old.classic.args, finish: old.finish}, args, old.given)
	if err != nil {
		return err
	}
	answer, err := s.api.do(ctx, request{method: http.MethodPost, path: old.path, body: object{{old.one, body}}})
	if err != nil {
		return err
	}
	o, _ := answer.get(old.one).(object)
	if old.out.format == "table" {
		fmt.Fprintf(cmd.OutOrStdout(), "Created a new %s:\n", old.one)
	}
	return old.out.one(cmd.OutOrStdout(), o, oldFields(o))
}

func (s *session) classicUpdate(cmd *cobra.Command, old oldCommand, word string) error {
	ctx := cmd.Context()
	o, err := s.find(ctx, old.resource, "", word)
	if err != nil {
		return err
	}
	for _, g := range old.given {
		g.replace = true // net-update says the whole of a list
	}
	body, err := s.body(ctx, change{given: old.given, current: o})
	if err != nil {
		return err
	}
	if len(body) == 0 {
		return fmt.Errorf("say what to change; see neutron %s --help", cmd.Name())
	}
	path := s.item(old.resource, "", old.key(o))
	if _, err := s.api.do(ctx, request{method: http.MethodPut, path: path, body: object{{old.one, body}}}); err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "Updated %s: %s\n", old.one, word)
	return nil
}

// classicDelete deletes what it can; the last failure is the command's.
func (s *session) classicDelete(cmd *cobra.Command, old oldCommand, args []string) error {
	var done []string
	var failed error
	for _, word := range args {
		if err := s.remove(cmd.Context(), old.resource, "", word); err != nil {
			if failed != nil {
				fmt.Fprintln(cmd.ErrOrStderr(), failed)
			}
			failed = err
			continue
		}
		done = append(done, word)
	}
	if len(done) > 0 {
		fmt.Fprintf(cmd.OutOrStdout(), "Deleted %s(s): %s\n", old.one, strings.Join(done, ", "))
	}
	return failed
}
