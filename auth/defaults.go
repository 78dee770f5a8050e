package auth

import "slices"

// The names that rules and code share.
const ruleAdmin = "context_is_admin"

// The demands that most rules are put together from, with the letters of api.md
// section 2. They name rules, so that an operator who changes "admin_only" changes
// all that follows from it.
const (
	admin   = "rule:admin_only"  // A
	service = "rule:service_api" // S

	reader  = "role:reader and project_id:%(project_id)s"  // R
	member  = "role:member and project_id:%(project_id)s"  // M
	manager = "role:manager and project_id:%(project_id)s" // G

	networkReader  = "role:reader and rule:network_owner"  // NR
	networkMember  = "role:member and rule:network_owner"  // NM
	networkManager = "role:manager and rule:network_owner" // NG

	parentReader = "role:reader and rule:ext_parent_owner" // PR
	parentMember = "role:member and rule:ext_parent_owner" // PM

	groupReader = "role:reader and rule:sg_owner" // SGR
	groupMember = "role:member and rule:sg_owner" // SGM

	anyReader = "role:reader"
	advsvc    = "rule:context_is_advsvc"
)

// or joins demands. "and" binds closer, so that none needs a parenthesis.
func or(demands ...string) string {
	text := demands[0]
	for _, d := range demands[1:] {
		text += " or " + d
	}
	return text
}

// Defaults are the rules of every request that the API knows, with Neutron's names
// and the defaults of its present roles (api.md section 1.9): admin, manager,
// member and reader, each of which holds the next one, and service.
func Defaults() []Rule {
	return slices.Concat(helperRules(), networkRules(), subnetRules(), subnetPoolRules(), addressScopeRules(),
		portRules(), bindingRules(), routerRules(), floatingIPRules(), securityGroupRules(), rbacRules(), quotaRules(),
		agentRules(), meteringRules(), otherRules())
}

// renamed are the earlier names of rules, which old files still have.
func renamed() map[string]string {
	names := map[string]string{}
	for _, resource := range []string{"network", "subnet", "subnetpool", "port", "router", "floatingip", "security_group"} {
		for _, verb := range []string{"create_", "get_", "update_", "delete_"} {
			names[verb+resource+"s_tags"] = verb + resource + ":tags"
		}
	}
	return names
}

// helperRules are the ones that other rules refer to.
func helperRules() []Rule {
	const network = "project_id:%(network:project_id)s"
	const group = "project_id:%(security_group:project_id)s"
	rules := []Rule{
		{Name: ruleAdmin, Check: "role:admin", About: "Who administers the cloud."},
		{Name: "admin_only", Check: "rule:context_is_admin", About: "Administrators only."},
		{Name: "service_api", Check: "role:service", About: "Other services, such as Nova."},
		{Name: "context_is_advsvc", Check: "role:advsvc", About: "The earlier role of other services."},
		{Name: "regular_user", Check: "", About: "Everybody who is known."},
		{Name: "owner", Check: "project_id:%(project_id)s", About: "The project that owns the object."},
		{Name: "admin_or_owner", Check: "rule:context_is_admin or rule:owner", About: "Administrators and the owner."},
		{Name: "default", Check: "rule:admin_or_owner",
			About: "For rules that refer to it. No request falls back on it: a request without a rule keeps the server from starting."},
		{Name: "network_owner", Check: network, About: "The project that owns the network of the object."},
		{Name: "admin_or_network_owner", Check: "rule:context_is_admin or " + network, About: "Administrators and the network's owner."},
		{Name: "admin_owner_or_network_owner", Check: "rule:owner or rule:admin_or_network_owner",
			About: "Administrators, the owner and the network's owner."},
		{Name: "ext_parent_owner", Check: "project_id:%(ext_parent:project_id)s", About: "The project that owns the object above."},
		{Name: "admin_or_ext_parent_owner", Check: "rule:context_is_admin or rule:ext_parent_owner",
			About: "Administrators and the owner of the object above."},
		{Name: "sg_owner", Check: group, About: "The project that owns the security group of the rule."},
		{Name: "admin_or_sg_owner", Check: "rule:context_is_admin or " + group, About: "Administrators and the group's owner."},
		{Name: "admin_owner_or_sg_owner", Check: "rule:owner or rule:admin_or_sg_owner",
			About: "Administrators, the owner and the group's owner."},
		{Name: "shared", Check: "field:networks:shared=True", About: "A network that is shared with the caller, or an object on one."},
		{Name: "external", Check: "field:networks:router:external=True", About: "An external network."},
		{Name: "external_network", Check: "field:subnets:router:external=True", About: "A subnet of an external network."},
		{Name: "shared_subnetpools", Check: "field:subnetpools:shared=True", About: "A subnet pool that is shared with the caller."},
		{Name: "shared_address_scopes", Check: "field:address_scopes:shared=True", About: "An address scope that is shared with the caller."},
		{Name: "shared_security_group", Check: "field:security_groups:shared=True", About: "A security group that is shared with the caller."},
		{Name: "rule_default_sg", Check: "field:security_group_rules:belongs_to_default_sg=True", About: "A rule of a project's default security group."},
		{Name: "network_device", Check: "field:port:device_owner=~^network:", About: "A port that the network itself uses."},
		{Name: "admin_or_data_plane_int", Check: "rule:context_is_admin or role:data_plane_integrator",
			About: "Administrators and who reports on the data plane."},
		{Name: "restrict_wildcard", Check: or(notForAll, admin), About: "Only administrators share with all projects."},
	}
	return rules
}

// notForAll is a share with one project. Neutron asks for both names of the
// attribute; here they are one.
const notForAll = "not field:rbac_policy:target_project=*"

// family makes the rules of one resource.
type family struct {
	resource   string // "network", in names of rules
	collection string // "/networks"
	called     string // "network", in sentences
	rules      []Rule
}

// demands are those of the four verbs; empty is a verb that does not exist.
type demands struct{ create, get, update, delete string }

func (f *family) add(name, text, about string, operations ...string) *family {
	f.rules = append(f.rules, Rule{Name: name, Check: text, Operations: operations, About: about})
	return f
}

func (f *family) operations(verb string) []string {
	switch verb {
	case "create":
		return []string{"POST " + f.collection}
	case "get":
		return []string{"GET " + f.collection, "GET " + f.collection + "/{id}"}
	case "update":
		return []string{"PUT " + f.collection + "/{id}"}
	}
	return []string{"DELETE " + f.collection + "/{id}"}
}

// verbs adds the rules of the resource itself.
func (f *family) verbs(d demands) *family {
	f.each(d, func(verb, text string) {
		f.add(verb+"_"+f.resource, text, sentence(verb)+" a "+f.called+".", f.operations(verb)...)
	})
	return f
}

// attributes adds rules of attributes of the resource.
func (f *family) attributes(d demands, names ...string) *family {
	for _, name := range names {
		f.each(d, func(verb, text string) {
			about := map[string]string{
				"create": "Give " + name + " when creating a " + f.called + ".",
				"get":    "See " + name + " of a " + f.called + ".",
				"update": "Change " + name + " of a " + f.called + ".",
			}[verb]
			f.add(verb+"_"+f.resource+":"+name, text, about, f.operations(verb)...)
		})
	}
	return f
}

// tags adds the rules of the tags (api.md section 2.28).
func (f *family) tags(d demands) *family {
	all, one := f.collection+"/{id}/tags", f.collection+"/{id}/tags/{tag}"
	paths := map[string][]string{
		"create": {"POST " + all},
		"get":    {"GET " + all, "GET " + one},
		"update": {"PUT " + all, "PUT " + one},
		"delete": {"DELETE " + all, "DELETE " + one},
	}
	f.each(d, func(verb, text string) {
		f.add(verb+"_"+f.resource+":tags", text, sentence(verb)+" tags of a "+f.called+".", paths[verb]...)
	})
	return f
}

// action adds the rule of a member action.
func (f *family) action(name, text, about string) *family {
	return f.add(name, text, about, "PUT "+f.collection+"/{id}/"+name)
}

func (f *family) each(d demands, do func(verb, text string)) {
	for _, v := range []struct{ verb, text string }{{"create", d.create}, {"get", d.get}, {"update", d.update}, {"delete", d.delete}} {
		if v.text != "" {
			do(v.verb, v.text)
		}
	}
}

func sentence(verb string) string {
	return map[string]string{"create": "Create", "get": "See", "update": "Change", "delete": "Delete"}[verb]
}

// owned is the usual set: members write, readers read, administrators do all.
func owned() demands {
	return demands{create: or(admin, member), get: or(admin, reader), update: or(admin, member), delete: or(admin, member)}
}
