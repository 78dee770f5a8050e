package api

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"neutrino"
	"neutrino/api/wire"
	"neutrino/intent"
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
		unwritten: func(v view) []*neutrino.SecurityGroup {
			if g, _ := unwrittenGroup(v); g != nil {
				return []*neutrino.SecurityGroup{g}
			}
			return nil
		},
		related: related[neutrino.SecurityGroup]{sharedFlag: shared.rule},
		create:  from(intent.CreateSecurityGroup), update: intent.UpdateSecurityGroup, remove: intent.DeleteSecurityGroup,
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
	if len(list) == 0 {
		if own, unwritten := unwrittenGroup(v); own != nil && own.ID == g.ID {
			list = unwritten
		}
	}
	return wire.AppendList(b, list, func(b []byte, r *neutrino.SecurityGroupRule) []byte {
		return rules.appendRow(b, v, r, nil)
	})
}

// unwrittenGroup is the default group of the caller's project with its rules,
// as long as no request has written it: a GET shows it and writes nothing
// (api.md section 6, W15).
func unwrittenGroup(v view) (*neutrino.SecurityGroup, []*neutrino.SecurityGroupRule) {
	if v.caller.ProjectID == "" || intent.HasDefaultGroup(v.Reader, v.caller.ProjectID) {
		return nil, nil
	}
	g, rules := intent.DefaultGroup(v.caller.ProjectID)
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
	g, _ := unwrittenGroup(v)
	return g, g != nil && g.ID == id
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
		unwritten: func(v view) []*neutrino.SecurityGroupRule {
			_, rules := unwrittenGroup(v)
			return rules
		},
		reach: reachOfRules,
		related: related[neutrino.SecurityGroupRule]{
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
		create: from(intent.CreateSecurityGroupRule), checkMany: intent.CheckBulkRules, remove: intent.DeleteSecurityGroupRule,
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
