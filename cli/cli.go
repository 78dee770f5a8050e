// Package cli is the neutrino command as a client of the API: the words and
// options of openstackclient, and by the name neutron those of the seed. It
// stands outside the line: all that it knows comes over HTTP.
package cli

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"neutrino/cli/manners"
	"neutrino/cli/spell"
)

// program is one run of the client: its table, and what its options say.
type program struct {
	source    source
	resources []*resource
	said      map[string]*string // the options --os-NAME, by name
	words     []string           // of the one command to build; nil is all
	insecure  bool
	debug     bool
}

// Commands are the commands of openstackclient's grammar, to be added to
// neutrino's root: network, subnet, port, router and so on. They print to the
// command's output; an error is the API's message.
//
// Where the words of a command line lead to one command, that is the only one,
// and alone is true: to build all of them takes longer than most of them run.
func Commands(words []string) (all []*cobra.Command, alone bool) {
	if all = newProgram(system()).commands(append([]string{}, words...)); len(all) > 0 {
		return all, true
	}
	return newProgram(system()).commands(nil), false
}

func newProgram(src source) *program {
	p := &program{source: src, resources: resources(), said: map[string]*string{"cloud": new(string)}}
	for _, s := range settings() {
		p.said[s.name] = new(string)
	}
	return p
}

// commands builds the tree, or of it what the words lead to.
func (p *program) commands(words []string) []*cobra.Command {
	root := &cobra.Command{}
	p.words = words
	for _, r := range p.resources {
		p.resourceCommands(root, r)
	}
	for _, a := range actions() {
		p.add(root, a.words, func() *cobra.Command { return p.actionCommand(a) })
	}
	p.quotaCommands(root)
	tops := root.Commands()
	root.RemoveCommand(tops...)
	for _, top := range tops {
		p.identityFlags(top)
	}
	return tops
}

// resourceCommands are the verbs of one resource.
func (p *program) resourceCommands(root *cobra.Command, r *resource) {
	p.add(root, r.words+" list", func() *cobra.Command { return p.listCommand(r) })
	if !r.noShow {
		p.add(root, r.words+" show", func() *cobra.Command { return p.showCommand(r) })
	}
	if r.create != nil {
		p.add(root, r.words+" create", func() *cobra.Command { return p.createCommand(r) })
	}
	if r.set != nil {
		p.add(root, r.words+" set", func() *cobra.Command { return p.changeCommand(r, "set") })
	}
	if r.unset != nil {
		p.add(root, r.words+" unset", func() *cobra.Command { return p.changeCommand(r, "unset") })
	}
	if r.remove {
		p.add(root, r.words+" delete", func() *cobra.Command { return p.deleteCommand(r) })
	}
}

// add puts a command where its words lead, and makes the groups on the way. One
// that the command line does not lead to is not built.
func (p *program) add(root *cobra.Command, words string, build func() *cobra.Command) {
	path := strings.Fields(words)
	if p.words != nil && !slices.Equal(path, p.words[:min(len(path), len(p.words))]) {
		return
	}
	leaf, at := build(), root
	for i, word := range path[:len(path)-1] {
		next := child(at, word)
		if next == nil {
			next = group(word, strings.Join(path[:i+1], " "))
			at.AddCommand(next)
		}
		at = next
	}
	leaf.Use = path[len(path)-1] + strings.TrimPrefix(leaf.Use, "_")
	leaf.SetFlagErrorFunc(flagError)
	leaf.SilenceUsage, leaf.SilenceErrors = true, true
	at.AddCommand(leaf)
}

func child(parent *cobra.Command, word string) *cobra.Command {
	i := slices.IndexFunc(parent.Commands(), func(c *cobra.Command) bool { return c.Name() == word })
	if i < 0 {
		return nil
	}
	return parent.Commands()[i]
}

// group is a word that only leads to others.
func group(word, path string) *cobra.Command {
	g := &cobra.Command{Use: word, Short: "Commands of " + path, SilenceUsage: true, SilenceErrors: true}
	g.SetFlagErrorFunc(flagError)
	g.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		var names []string
		for _, c := range cmd.Commands() {
			names = append(names, c.Name())
		}
		return fmt.Errorf("%q is no command of %q%s; there are %s", args[0], cmd.CommandPath(), spell.Guess(args[0], names), strings.Join(names, ", "))
	}
	return g
}

// identityFlags are the options --os-*, which every command has.
func (p *program) identityFlags(cmd *cobra.Command) {
	f := cmd.PersistentFlags()
	f.StringVar(p.said["cloud"], "os-cloud", "", "cloud of clouds.yaml (OS_CLOUD)")
	for _, s := range settings() {
		variable := "OS_" + strings.ToUpper(strings.ReplaceAll(s.name, "-", "_"))
		f.StringVar(p.said[s.name], "os-"+s.name, "", s.help+" ("+strings.Join(append([]string{variable}, s.also...), ", ")+")")
	}
	f.BoolVar(&p.insecure, "insecure", false, "do not check the server's certificate (OS_INSECURE)")
	f.BoolVar(&p.debug, "debug", false, "print a line for each request")
	manners.Options(f)
}

// session is one command that talks to the API.
type session struct {
	*program
	api *client
	ids map[string]string // names that were looked up
	// domains are those of projects, by the option that names the project.
	domains map[string]string
}

// open finds out who is calling, and where the API is.
func (p *program) open(cmd *cobra.Command) (*session, error) {
	options := map[string]string{"insecure": fmt.Sprint(p.insecure)}
	for name, value := range p.said {
		options[name] = *value
	}
	who, err := p.source.resolve(options)
	if err != nil {
		return nil, err
	}
	api, err := who.client()
	if err != nil {
		return nil, err
	}
	if p.debug {
		api.debug = cmd.ErrOrStderr()
	}
	return &session{program: p, api: api, ids: map[string]string{}, domains: map[string]string{}}, nil
}

// resource is the resource of the words.
func (p *program) resource(words string) *resource {
	i := slices.IndexFunc(p.resources, func(r *resource) bool { return r.words == words })
	return p.resources[i]
}

// flagError adds the option that was probably meant.
func flagError(cmd *cobra.Command, err error) error {
	unknown, ok := err.(interface{ GetSpecifiedName() string })
	if !ok || !strings.HasPrefix(err.Error(), "unknown") {
		return err
	}
	name := unknown.GetSpecifiedName()
	var names []string
	for word := range strings.FieldsSeq(cmd.Flags().FlagUsages() + cmd.InheritedFlags().FlagUsages()) {
		if flag, ok := strings.CutPrefix(word, "--"); ok {
			names = append(names, strings.TrimRight(flag, ","))
		}
	}
	near := spell.Guess(name, names)
	if near != "" {
		near = ", did you mean --" + strings.TrimPrefix(near, ", did you mean ")
	}
	return fmt.Errorf("%q has no option --%s%s", cmd.CommandPath(), name, near)
}

// Completion.

// completionPatience keeps a server that does not answer from holding up the
// shell.
const completionPatience = 2 * time.Second

func completeWith(cmd *cobra.Command, flag string, words ...string) {
	err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
	if err != nil {
		panic("cli: " + err.Error()) // the flag is not there: a fault in the table
	}
}

func (p *program) completeNames(cmd *cobra.Command, flag, words string) {
	err := cmd.RegisterFlagCompletionFunc(flag, func(cmd *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
		return p.names(cmd, words, begun), cobra.ShellCompDirectiveNoFileComp
	})
	if err != nil {
		panic("cli: " + err.Error())
	}
}

// completeArgs completes arguments with names: the kind of each, the last one
// repeated where repeat says so.
func (p *program) completeArgs(kinds []string, repeat bool) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		i := len(args)
		if repeat {
			i = min(i, len(kinds)-1)
		}
		if i >= len(kinds) || kinds[i] == "" {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		names := slices.DeleteFunc(p.names(cmd, kinds[i], begun), func(s string) bool {
			name, _, _ := strings.Cut(s, "\t")
			return slices.Contains(args, name)
		})
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// names are the names and ids of a resource's objects that begin so.
func (p *program) names(cmd *cobra.Command, words, begun string) []string {
	r := p.resource(words)
	s, err := p.open(cmd)
	if err != nil || r.under != "" {
		return nil
	}
	ctx := cmd.Context()
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, completionPatience)
	defer cancel()
	rows, err := s.api.list(ctx, request{path: r.path}, r.many)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return nil
	}
	var names []string
	for _, row := range rows {
		id, name := row.text("id"), row.text(r.name)
		if name != "" && strings.HasPrefix(name, begun) && !strings.ContainsAny(name, "\t\n") {
			names = append(names, name+"\t"+id)
		}
		if id != "" && (name == "" || begun != "" && strings.HasPrefix(id, begun)) && strings.HasPrefix(id, begun) {
			names = append(names, id+"\t"+strings.NewReplacer("\t", " ", "\n", " ").Replace(name))
		}
	}
	return names
}
