package api

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"neutrino"
	"neutrino/api/wire"
	"neutrino/intent"
	"neutrino/intent/defaultgroup"
	"neutrino/intent/quota"
	"neutrino/intent/rbac"
	"neutrino/intent/work"
	"neutrino/store"
)

func securityGroups() *kind[neutrino.SecurityGroup] {
	rules := securityGroupRules()
	shared := sharedBy(func(g *neutrino.SecurityGroup) neutrino.ID { return g.ID })
	return kind[neutrino.SecurityGroup]{
		names: names{"security_group", "security_groups", "security-groups",
			"SecurityGroupNotFound", "Security group %s does not exist"},
		table: store.SecurityGroups,
		indexes: []filterIndex[neutrino.SecurityGroup]{
			{"name", store.GroupsByName},
			{"project_id", store.GroupsByProject},
		},
		visible: work.VisibleSecurityGroup,
		reach:   ownOrGiven(store.GroupsByProject, rbac.SecurityGroup),
		unwritten: func(v view, wanted map[string][]string) (groups []*neutrino.SecurityGroup) {
			for _, project := range unwrittenFor(v, wanted[projectID], wanted["id"]) {
				g, _ := unwrittenGroup(v, project)
				groups = append(groups, g)
			}
			return groups
		},
		related: related[neutrino.SecurityGroup]{sharedFlag: shared.rule},
		create:  from(quota.Of(quota.SecurityGroup), intent.CreateSecurityGroup), update: intent.UpdateSecurityGroup, remove: intent.DeleteSecurityGroup,
		computed: []column[neutrino.SecurityGroup]{{
			name: "security_group_rules",
			write: func(b []byte, v view, g *neutrino.SecurityGroup) []byte {
				return appendRules(b, v, g, rules)
			},
		}, shared.column(sharedFlag)},
		filters: map[string]func(*query[neutrino.SecurityGroup], []string) error{sharedFlag: shared.filter},
	}.ready()
}

// appendRules embeds the rules of a group, in full.
func appendRules(b []byte, v view, g *neutrino.SecurityGroup, rules *kind[neutrino.SecurityGroupRule]) []byte {
	list := slices.Collect(store.By(v.Reader, store.RulesByGroup, string(g.ID)))
	if len(list) == 0 && !defaultgroup.Written(v.Reader, g.ProjectID) && defaultgroup.Is(v.Reader, g) {
		_, list = unwrittenGroup(v, g.ProjectID)
	}
	return wire.AppendList(b, list, func(b []byte, r *neutrino.SecurityGroupRule) []byte {
		return rules.appendRow(b, v, r, nil)
	})
}

// unwrittenFor are the projects whose default groups no request has written and
// that the caller sees all the same: its own and, where it sees everything, those
// that it asks for by project or by group (api.md section 3.4). What is shown can
// be used: a group whose ID does not tell its project is shown to that project only.
func unwrittenFor(v view, projects, groups []string) (list []string) {
	asked, ids := []string{v.caller.ProjectID}, slices.Clone(groups)
	for _, project := range projects {
		ids = append(ids, string(defaultgroup.ID(project)))
	}
	for _, id := range ids {
		if project, ok := defaultgroup.ShownTo(v.caller, neutrino.ID(id)); ok {
			asked = append(asked, project)
		}
	}
	for _, project := range asked {
		if project != "" && !slices.Contains(list, project) && !defaultgroup.Written(v.Reader, project) {
			list = append(list, project)
		}
	}
	return list
}

// unwrittenGroup is a project's default group with its rules before a request
// writes it: a GET shows it and writes nothing (api.md section 6, W15).
func unwrittenGroup(v view, project string) (*neutrino.SecurityGroup, []*neutrino.SecurityGroupRule) {
	g, rules := defaultgroup.Of(project)
	g.CreatedAt, g.UpdatedAt = v.now.Truncate(time.Second), v.now.Truncate(time.Second)
	list := make([]*neutrino.SecurityGroupRule, len(rules))
	for i := range rules {
		rules[i].CreatedAt, rules[i].UpdatedAt = g.CreatedAt, g.UpdatedAt
		list[i] = &rules[i]
	}
	return &g, list
}

// groupAt is the group of the id, written or not. What is written is looked at
// first: working out what is not costs more, and a list asks for each row.
func groupAt(v view, id neutrino.ID) (*neutrino.SecurityGroup, bool) {
	if g, ok := store.Peek(v.Reader, store.SecurityGroups, id); ok {
		return g, true
	}
	for _, project := range unwrittenFor(v, nil, []string{string(id)}) {
		if g, _ := unwrittenGroup(v, project); g.ID == id {
			return g, true
		}
	}
	return nil, false
}

func securityGroupRules() *kind[neutrino.SecurityGroupRule] {
	return kind[neutrino.SecurityGroupRule]{
		names: names{"security_group_rule", "security_group_rules", "security-group-rules",
			"SecurityGroupRuleNotFound", "Security group rule %s does not exist"},
		table: store.SecurityGroupRules,
		indexes: []filterIndex[neutrino.SecurityGroupRule]{
			{"security_group_id", store.RulesByGroup},
			{"remote_group_id", store.RulesByRemoteGroup},
			{"project_id", store.RulesByProject},
		},
		visible: work.VisibleSecurityGroupRule,
		unwritten: func(v view, wanted map[string][]string) (rules []*neutrino.SecurityGroupRule) {
			for _, project := range unwrittenFor(v, wanted[projectID], wanted["security_group_id"]) {
				_, list := unwrittenGroup(v, project)
				rules = append(rules, list...)
			}
			return rules
		},
		reach:    reachOfRules,
		computed: []column[neutrino.SecurityGroupRule]{ofDefaultGroup().column(inDefaultGroup)},
		filters:  map[string]func(*query[neutrino.SecurityGroupRule], []string) error{inDefaultGroup: ofDefaultGroup().filter},
		related: related[neutrino.SecurityGroupRule]{
			inDefaultGroup: ofDefaultGroup().rule,
			"security_group:project_id": func(v view, r *neutrino.SecurityGroupRule) (string, bool) {
				g, ok := groupAt(v, r.SecurityGroupID)
				if !ok {
					return "", false
				}
				return g.ProjectID, true
			},
		},
		above: func(v view, r *neutrino.SecurityGroupRule) error {
			g, ok := groupAt(v, r.SecurityGroupID)
			if !ok || !work.VisibleSecurityGroup(v.caller, v.Reader, g) {
				return work.Groups().Missing(r.SecurityGroupID)
			}
			return nil
		},
		create: from(quota.Of(quota.SecurityGroupRule), intent.CreateSecurityGroupRule), checkMany: intent.CheckBulkRules, remove: intent.DeleteSecurityGroupRule,
		parse: map[string]func(*neutrino.SecurityGroupRule, any) error{
			"protocol":  parseProtocol,
			"ethertype": parseEtherType,
			"port_range_min": func(r *neutrino.SecurityGroupRule, raw any) error {
				return parsePortValue(&r.PortRangeMin, raw)
			},
			"port_range_max": func(r *neutrino.SecurityGroupRule, raw any) error {
				return parsePortValue(&r.PortRangeMax, raw)
			},
		},
	}.ready()
}

// inDefaultGroup is the attribute of a rule of its project's default group.
const inDefaultGroup = "belongs_to_default_sg"

func ofDefaultGroup() fact[neutrino.SecurityGroupRule] {
	return func(v view, r *neutrino.SecurityGroupRule) bool {
		g, ok := store.Peek(v.Reader, store.SecurityGroups, r.SecurityGroupID)
		if !ok { // not written yet, as the rule
			return r.SecurityGroupID == defaultgroup.ID(r.ProjectID)
		}
		return defaultgroup.Is(v.Reader, g)
	}
}

// reachOfRules is a project's own rules, and those of the groups that it sees.
func reachOfRules(v view) []keyed[neutrino.SecurityGroupRule] {
	groups := work.Given(v.caller, v.Reader, rbac.SecurityGroup)
	for g := range store.By(v.Reader, store.GroupsByProject, v.caller.ProjectID) {
		groups = append(groups, string(g.ID))
	}
	return []keyed[neutrino.SecurityGroupRule]{
		{store.RulesByProject, []string{v.caller.ProjectID}}, {store.RulesByGroup, groups},
	}
}

// parseProtocol takes a name or a number, as text or not; null is any. Which
// ones exist, intent knows.
func parseProtocol(r *neutrino.SecurityGroupRule, raw any) error {
	switch v := raw.(type) {
	case nil:
		r.Protocol = ""
		return nil
	case json.Number:
		r.Protocol = v.String()
		return nil
	case string:
		if v != "" {
			r.Protocol = strings.ToLower(v)
			return nil
		}
	}
	return neutrino.Errorf(neutrino.Invalid, "SecurityGroupRuleInvalidProtocol",
		"Security group rule protocol %s not supported. Only protocol names and integer representations [0 to 255] are supported.", wire.Show(raw))
}

// parseEtherType takes the family in any case.
func parseEtherType(r *neutrino.SecurityGroupRule, raw any) error {
	s, _ := raw.(string)
	for _, family := range []neutrino.EtherType{neutrino.IPv4, neutrino.IPv6} {
		if strings.EqualFold(s, string(family)) {
			r.EtherType = family
			return nil
		}
	}
	return neutrino.Errorf(neutrino.Invalid, "SecurityGroupRuleInvalidEtherType",
		"Security group rule for ethertype '%s' not supported. Allowed values are ['IPv4', 'IPv6'].", wire.Show(raw))
}

// parsePortValue takes a number or its text; null is unset.
func parsePortValue(p **int, raw any) error {
	if raw == nil {
		return nil
	}
	n, ok := wire.Integer(raw)
	if !ok || n < 0 || n > 65535 {
		return neutrino.Errorf(neutrino.Invalid, "SecurityGroupInvalidPortValue",
			"Invalid value for port %s", wire.Show(raw))
	}
	small := int(n)
	*p = &small
	return nil
}
