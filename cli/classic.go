package cli

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"
)

// What neutron has beside the verbs of its resources: pools and policies in its
// words, tags, quotas, and lists of what is linked to an object.

func classicShared() option {
	return option{name: "shared", attr: "shared", flag: true, value: true, help: "share it between projects"}
}

func classicPool() []option {
	return []option{
		descriptionOption(), classicShared(),
		{name: "pool-prefix", attr: "prefixes", many: true, help: "prefix of the pool, in CIDR notation"},
		{name: "default-prefixlen", attr: "default_prefixlen", parse: integer, help: "length of a subnet's prefix where it does not say"},
		{name: "min-prefixlen", attr: "min_prefixlen", parse: integer, help: "shortest prefix of a subnet"},
		{name: "max-prefixlen", attr: "max_prefixlen", parse: integer, help: "longest prefix of a subnet"},
		{name: "is-default", attr: "is_default", choices: []string{"True", "False"}, parse: truth, help: "the default pool of its IP version"},
		{name: "address-scope", attr: "address_scope_id", of: "address scope", help: "address scope of the pool"},
		{name: "no-address-scope", attr: "address_scope_id", flag: true, help: "take the pool out of its scope"},
	}
}

func classicPolicy() []option {
	var types []string
	for _, o := range rbacPolicies().create.options {
		if o.name == "type" {
			types = o.choices
		}
	}
	return []option{
		{name: "type", attr: "object_type", choices: types, help: "type of the object"},
		{name: "action", attr: "action", choices: []string{"access_as_shared", "access_as_external"}, help: "what the policy allows"},
		{name: "target-tenant", attr: "target_tenant", help: "project that may do it, by id (default: all)"},
	}
}

// finishClassicPolicy fills in what the old client filled in.
func finishClassicPolicy(body object, _ []*given) (object, error) {
	if !body.has("object_type") || !body.has("action") {
		return nil, fmt.Errorf("--type and --action are required")
	}
	if !body.has("target_tenant") {
		body = body.with("target_tenant", "*")
	}
	return body, nil
}

func classicTagFilters() []option {
	filters := tagFilters()
	for i := range filters {
		filters[i].name = filters[i].attr
	}
	return filters
}

// linkedList is a list of what is linked to one object.
type linkedList struct {
	name, help string
	of         string // the kind of the argument
	words      string // of what is listed
	path       string // with one %s for the argument's id, or the path of a list
	attr       string // the filter that is the argument's id
	columns    string
}

func linkedLists() []linkedList {
	return []linkedList{
		{name: "net-list-on-dhcp-agent", help: "List the networks that a DHCP agent serves", of: "network agent", words: "network", path: "agents/%s/dhcp-networks", columns: "id name subnets"},
		{name: "dhcp-agent-list-hosting-net", help: "List the DHCP agents that serve a network", of: "network", words: "network agent", path: "networks/%s/dhcp-agents", columns: "id host admin_state_up alive"},
		{name: "router-list-on-l3-agent", help: "List the routers that an L3 agent runs", of: "network agent", words: "router", path: "agents/%s/l3-routers", columns: "id name external_gateway_info"},
		{name: "l3-agent-list-hosting-router", help: "List the L3 agents that run a router", of: "router", words: "network agent", path: "routers/%s/l3-agents", columns: "id host admin_state_up alive"},
		{name: "router-port-list", help: "List the ports of a router", of: "router", words: "port", path: "ports", attr: "device_id", columns: "id name mac_address fixed_ips"},
		{name: "net-external-list", help: "List the external networks", words: "network", path: "networks", attr: "router:external", columns: "id name subnets"},
	}
}

func (p *program) linkedCommand(l linkedList) *cobra.Command {
	out := &output{}
	cmd := &cobra.Command{Use: l.name, Short: l.help, Args: cobra.NoArgs}
	if l.of != "" {
		cmd.Use += " <" + strings.ToUpper(strings.ReplaceAll(l.of, " ", "-")) + ">"
		cmd.Args, cmd.ValidArgsFunction = exactly(l.of), p.completeArgs([]string{l.of}, false)
	}
	out.flags(cmd, listFormats())
	out.sortFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := out.check(listFormats()); err != nil {
			return err
		}
		s, err := p.open(cmd)
		if err != nil {
			return err
		}
		value := "True"
		if l.of != "" {
			if value, err = s.id(cmd.Context(), l.of, args[0]); err != nil {
				return err
			}
		}
		req := request{path: strings.ReplaceAll(l.path, "%s", url.PathEscape(value))}
		if l.attr != "" {
			req.query = url.Values{l.attr: {value}}
		}
		rows, err := s.api.list(cmd.Context(), req, s.resource(l.words).many)
		if err == nil && l.words == "network" {
			err = s.joinSubnets(cmd.Context(), rows)
		}
		if err != nil {
			return err
		}
		return out.list(cmd.OutOrStdout(), rows, oldColumns(l.columns, map[string]look{"alive": oldAlive, "external_gateway_info": spacedJSON}))
	}
	return cmd
}

// classicTags are tag-add, tag-remove and tag-replace.
func (p *program) classicTags() []*cobra.Command {
	kinds := map[string]string{}
	var types []string
	for _, c := range classics() {
		if p.resource(c.words).tags {
			kinds[c.noun] = c.words
			types = append(types, c.noun)
		}
	}
	var all []*cobra.Command
	for verb, help := range map[string]string{"add": "Give an object a tag", "remove": "Take a tag from an object", "replace": "Replace the tags of an object"} {
		cmd := &cobra.Command{Use: "tag-" + verb, Short: help, Args: cobra.NoArgs}
		options := []option{
			{name: "resource-type", must: true, choices: types, help: "type of the object"},
			{name: "resource", must: true, help: "the object, by name or id"},
			{name: "tag", must: verb != "remove", many: true, help: "the tag"},
		}
		if verb == "remove" {
			options = append(options, option{name: "all", flag: true, help: "take all tags away"})
		}
		asked := p.attach(cmd, options)
		cmd.RunE = func(cmd *cobra.Command, _ []string) error {
			if err := checkGiven(asked); err != nil {
				return err
			}
			said := []*given{asked[2]}
			switch verb {
			case "remove":
				if !asked[2].is() && !asked[3].is() {
					return fmt.Errorf("--tag or --all is required")
				}
				said = append(said, &given{option{name: "all-tag"}, asked[3].texts})
			case "replace":
				said = append(said, &given{option{name: "no-tag"}, []string{"true"}})
			}
			s, err := p.open(cmd)
			if err != nil {
				return err
			}
			r := s.resource(kinds[asked[0].texts[0]])
			o, err := s.find(cmd.Context(), r, "", asked[1].texts[0])
			if err == nil {
				_, err = s.tag(cmd.Context(), r, o, said)
			}
			return err
		}
		all = append(all, cmd)
	}
	return all
}

// classicQuotas are quota-show, quota-default-show, quota-list, quota-update and
// quota-delete.
func (p *program) classicQuotas() []*cobra.Command {
	show := func(below string) func(*session, *cobra.Command, oldQuota) error {
		return func(s *session, cmd *cobra.Command, q oldQuota) error {
			limits, err := s.quota(cmd.Context(), q.project, below)
			if err != nil {
				return err
			}
			return q.out.one(cmd.OutOrStdout(), limits, oldFields(limits))
		}
	}
	update := p.quotaVerb("update [<PROJECT>]", "Change a project's quota", func(s *session, cmd *cobra.Command, q oldQuota) error {
		body, err := s.body(cmd.Context(), change{given: q.given})
		if err != nil {
			return err
		}
		if len(body) == 0 {
			return fmt.Errorf("say at least one limit")
		}
		answer, err := s.api.do(cmd.Context(), request{method: http.MethodPut, path: "quotas/" + url.PathEscape(q.project), body: object{{"quota", body}}})
		if err != nil {
			return err
		}
		limits, _ := answer.get("quota").(object)
		return q.out.one(cmd.OutOrStdout(), limits, oldFields(limits))
	})
	remove := p.quotaVerb("delete [<PROJECT>]", "Give a project the default quota again", func(s *session, cmd *cobra.Command, q oldQuota) error {
		if _, err := s.api.do(cmd.Context(), request{method: http.MethodDelete, path: "quotas/" + url.PathEscape(q.project)}); err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "Deleted quota: %s\n", q.project)
		return nil
	})
	return []*cobra.Command{update, remove, p.classicQuotaList(), p.quotaVerb("show [<PROJECT>]", "Show a project's quota", show("")),
		p.quotaVerb("default-show [<PROJECT>]", "Show the quota of a project that has none of its own", show("/default"))}
}

// oldQuota is one command about a project's quota.
type oldQuota struct {
	project string
	given   []*given
	out     *output
}

func (p *program) quotaVerb(use, help string, do func(*session, *cobra.Command, oldQuota) error) *cobra.Command {
	q := oldQuota{out: &output{}}
	cmd := &cobra.Command{Use: "quota-" + use, Short: help, Args: cobra.MaximumNArgs(1)}
	project := cmd.Flags().String("tenant-id", "", "project whose quota is meant")
	q.out.flags(cmd, showFormats())
	if strings.HasPrefix(use, "update") {
		var limits []option
		for _, n := range quotaNames() {
			limits = append(limits, option{name: strings.ReplaceAll(n[0], "_", "-"), attr: n[0], parse: integer, arg: "<limit>", help: "limit for " + n[1] + ", -1 for none"})
		}
		q.given = p.attach(cmd, limits)
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := q.out.check(showFormats()); err != nil {
			return err
		}
		s, err := p.open(cmd)
		if err != nil {
			return err
		}
		if *project != "" {
			args = []string{*project}
		}
		if q.project, err = s.project(cmd.Context(), args); err != nil {
			return err
		}
		return do(s, cmd, q)
	}
	return cmd
}

func (p *program) classicQuotaList() *cobra.Command {
	out := &output{}
	cmd := &cobra.Command{Use: "quota-list", Short: "List the quotas of projects that have their own", Args: cobra.NoArgs}
	out.flags(cmd, listFormats())
	out.sortFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := out.check(listFormats()); err != nil {
			return err
		}
		s, err := p.open(cmd)
		if err != nil {
			return err
		}
		rows, err := s.quotas(cmd.Context(), "")
		if err != nil {
			return err
		}
		names := ""
		for _, n := range quotaNames() {
			names += n[0] + " "
		}
		return out.list(cmd.OutOrStdout(), rows, oldColumns(names+"tenant_id", nil))
	}
	return cmd
}
