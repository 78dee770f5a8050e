package cli

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"

	"github.com/spf13/cobra"
)

// quotaNames are the options of the limits and their keys in a show, by the
// API's names.
func quotaNames() [][3]string {
	return [][3]string{ // attribute, option, title in a list
		{"floatingip", "floating-ips", "Floating IPs"}, {"network", "networks", "Networks"}, {"port", "ports", "Ports"},
		{"rbac_policy", "rbac-policies", "RBAC Policies"}, {"router", "routers", "Routers"},
		{"security_group", "secgroups", "Security Groups"}, {"security_group_rule", "secgroup-rules", "Security Group Rules"},
		{"subnet", "subnets", "Subnets"}, {"subnetpool", "subnetpools", "Subnet Pools"},
	}
}

func (p *program) quotaCommands(root *cobra.Command) {
	p.add(root, "quota show", p.quotaShow)
	p.add(root, "quota list", p.quotaList)
	p.add(root, "quota set", p.quotaSet)
	p.add(root, "quota delete", p.quotaDelete)
}

// project is the project whose quota is meant: the argument, or the caller's.
func (s *session) project(ctx context.Context, args []string) (string, error) {
	if len(args) > 0 {
		return s.projectID(ctx, args[0], "")
	}
	if s.api.auth.projectID != "" {
		return s.api.auth.projectID, nil
	}
	answer, err := s.api.do(ctx, request{method: http.MethodGet, path: "quotas/project"})
	if isMissing(err) {
		answer, err = s.api.do(ctx, request{method: http.MethodGet, path: "quotas/tenant"})
	}
	if err != nil {
		return "", err
	}
	for _, key := range []string{"project", "tenant"} {
		o, _ := answer.get(key).(object)
		if id := o.text(key + "_id"); id != "" {
			return id, nil
		}
	}
	return "", errors.New("say whose quota is meant: the project's id, or --os-project-id")
}

func (s *session) quota(ctx context.Context, project, below string) (object, error) {
	answer, err := s.api.do(ctx, request{method: http.MethodGet, path: "quotas/" + url.PathEscape(project) + below})
	if err != nil {
		return nil, err
	}
	o, ok := answer.get("quota").(object)
	if !ok {
		return nil, errors.New("the answer holds no quota")
	}
	return o, nil
}

func (p *program) quotaShow() *cobra.Command {
	out := &output{}
	cmd := &cobra.Command{Use: "_ [<project>]", Short: "Show a project's quota", Args: cobra.MaximumNArgs(1), Example: "  neutrino quota show blue -f json"}
	defaults := cmd.Flags().Bool("default", false, "show the limits of a project that has none of its own")
	out.flags(cmd, showFormats())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := out.check(showFormats()); err != nil {
			return err
		}
		s, err := p.open(cmd)
		if err != nil {
			return err
		}
		project, err := s.project(cmd.Context(), args)
		if err != nil {
			return err
		}
		below := ""
		if *defaults {
			below = "/default"
		}
		limits, err := s.quota(cmd.Context(), project, below)
		if err != nil {
			return err
		}
		limits = limits.with("project", project)
		return out.one(cmd.OutOrStdout(), limits, quotaFields(limits))
	}
	return cmd
}

// quotaFields are all limits of an answer, under the names of the options.
func quotaFields(limits object) []column {
	var cols []column
	for _, m := range limits {
		title := m.key
		for _, n := range quotaNames() {
			if n[0] == m.key {
				title = n[1]
			}
		}
		cols = append(cols, column{title: title, attr: m.key})
	}
	return cols
}

func (p *program) quotaList() *cobra.Command {
	out := &output{}
	cmd := &cobra.Command{Use: "_", Short: "List the quotas of projects that have their own, or one project's in detail", Args: cobra.NoArgs,
		Example: "  neutrino quota list --detail --project blue"}
	detail := cmd.Flags().Bool("detail", false, "show what is in use")
	project := cmd.Flags().String("project", "", "quota of this project, by name or id")
	cmd.Flags().Bool("network", true, "list network quotas; there are no others here")
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
		if *detail {
			return s.quotaDetail(cmd, out, *project)
		}
		whose, err := s.projectID(cmd.Context(), *project, "")
		if err != nil {
			return err
		}
		rows, err := s.quotas(cmd.Context(), whose)
		if err != nil {
			return err
		}
		cols := []column{{title: "Project ID", attr: "project_id"}}
		for _, n := range quotaNames() {
			cols = append(cols, column{title: n[2], attr: n[0]})
		}
		return out.list(cmd.OutOrStdout(), rows, cols)
	}
	return cmd
}

func (s *session) quotas(ctx context.Context, project string) ([]object, error) {
	if project == "" {
		return s.api.list(ctx, request{path: "quotas"}, "quotas")
	}
	o, err := s.quota(ctx, project, "")
	return []object{o.with("project_id", project)}, err
}

func (s *session) quotaDetail(cmd *cobra.Command, out *output, project string) error {
	var args []string
	if project != "" {
		args = []string{project}
	}
	project, err := s.project(cmd.Context(), args)
	if err != nil {
		return err
	}
	details, err := s.quota(cmd.Context(), project, "/details")
	if err != nil {
		return err
	}
	var rows []object
	for _, m := range details {
		if d, ok := m.value.(object); ok {
			rows = append(rows, append(slices.Clone(d), member{"resource", m.key}))
		}
	}
	return out.list(cmd.OutOrStdout(), rows, columns(nil, "Resource=resource", "In Use=used", "Reserved=reserved", "Limit=limit"))
}

func (p *program) quotaSet() *cobra.Command {
	cmd := &cobra.Command{Use: "_ <project>", Short: "Change a project's quota", Args: exactly("project"), Example: "  neutrino quota set blue --networks 20 --ports -1"}
	options := []option{
		{name: "force", attr: "force", flag: true, value: true, help: "also below what is in use"},
		{name: "check-limit", attr: "check_limit", flag: true, value: true, help: "refuse limits below what is in use"},
	}
	for _, n := range quotaNames() {
		options = append(options, option{name: n[1], attr: n[0], parse: integer, arg: "<limit>", help: "limit for " + n[1] + ", -1 for none"})
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
		body, err := s.body(cmd.Context(), change{given: given})
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(body, func(m member) bool { return m.key != "force" && m.key != "check_limit" }) {
			return errors.New("say at least one limit")
		}
		if body.has("force") && body.has("check_limit") {
			return errors.New("--force and --check-limit exclude each other")
		}
		project, err := s.project(cmd.Context(), args)
		if err != nil {
			return err
		}
		_, err = s.api.do(cmd.Context(), request{method: http.MethodPut, path: "quotas/" + url.PathEscape(project), body: object{{"quota", body}}})
		return err
	}
	return cmd
}

func (p *program) quotaDelete() *cobra.Command {
	cmd := &cobra.Command{Use: "_ <project>", Short: "Give a project the default quota again", Args: exactly("project"), Example: "  neutrino quota delete blue"}
	cmd.Flags().Bool("network", true, "network quotas; there are no others here")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := p.open(cmd)
		if err != nil {
			return err
		}
		project, err := s.project(cmd.Context(), args)
		if err != nil {
			return err
		}
		_, err = s.api.do(cmd.Context(), request{method: http.MethodDelete, path: "quotas/" + url.PathEscape(project)})
		return err
	}
	return cmd
}
