package cli

import (
	"errors"
	"maps"
	"slices"
)

// Resources that give others addresses, or a part in what there is.

func subnetPools() *resource {
	looks := map[string]look{"prefixes": commas, "tags": commas}
	options := slices.Concat(
		onOff("default", "no-default", "is_default", "make the pool the default one of its IP version"),
		[]option{
			{name: "pool-prefix", attr: "prefixes", many: true, front: true, help: "prefix of the pool, in CIDR notation"},
			{name: "default-prefix-length", attr: "default_prefixlen", parse: integer, help: "length of a subnet's prefix where it does not say"},
			{name: "min-prefix-length", attr: "min_prefixlen", parse: integer, help: "shortest prefix of a subnet"},
			{name: "max-prefix-length", attr: "max_prefixlen", parse: integer, help: "longest prefix of a subnet"},
			{name: "default-quota", attr: "default_quota", parse: integer, help: "how much a project may take"},
			{name: "address-scope", attr: "address_scope_id", of: "address scope", help: "address scope of the pool"},
			descriptionOption(),
		})
	return &resource{
		words: "subnet pool", noun: "SubnetPool", path: "subnetpools", one: "subnetpool", many: "subnetpools", name: "name", tags: true,
		columns: columns(looks, "ID=id", "Name=name", "Prefixes=prefixes"),
		long: columns(looks, "ID=id", "Name=name", "Prefixes=prefixes", "Default Prefix Length=default_prefixlen",
			"Address Scope=address_scope_id", "Default Subnet Pool=is_default", "Shared=shared", "Tags=tags"),
		filters: slices.Concat([]option{longOption(), nameOption(), projectOption(),
			{name: "address-scope", attr: "address_scope_id", of: "address scope", help: "list pools of this scope"}},
			onOff("share", "no-share", "shared", "list shared pools"), onOff("default", "no-default", "is_default", "list default pools")),
		fields: fields(looks, `address_scope_id created_at default_prefixlen default_quota description id ip_version is_default
			max_prefixlen min_prefixlen name prefixes project_id revision_number shared tags updated_at`),
		create: &form{args: []argument{{name: "name", attr: "name"}},
			options: slices.Concat(required(options, "pool-prefix"), onOff("share", "no-share", "shared", "share the pool"), []option{projectOption()}),
			example: "neutrino subnet pool create p4 --pool-prefix 10.0.0.0/8 --default-prefix-length 24"},
		set: &form{options: append(options, nameOption(),
			option{name: "no-address-scope", attr: "address_scope_id", flag: true, help: "take the pool out of its scope"})},
		unset:  &form{},
		remove: true,
	}
}

func addressScopes() *resource {
	share := onOff("share", "no-share", "shared", "shared between projects")
	return &resource{
		words: "address scope", noun: "AddressScope", path: "address-scopes", one: "address_scope", many: "address_scopes", name: "name",
		columns: columns(nil, "ID=id", "Name=name", "IP Version=ip_version", "Shared=shared", "Project=project_id"),
		filters: append(share, nameOption(), projectOption(),
			option{name: "ip-version", attr: "ip_version", choices: []string{"4", "6"}, help: "list scopes of this IP version"}),
		fields: fields(nil, "id ip_version name project_id shared"),
		create: &form{args: []argument{{name: "name", attr: "name"}},
			options: append(share, projectOption(), option{name: "ip-version", attr: "ip_version", choices: []string{"4", "6"}, parse: integer, help: "IP version (default 4)"}),
			finish:  finishSubnet,
			example: "neutrino address scope create inside --ip-version 4"},
		set:    &form{options: append(share, nameOption())},
		remove: true,
	}
}

func rbacPolicies() *resource {
	actions := []string{"access_as_shared", "access_as_external"}
	target := option{name: "target-project", attr: "target_tenant", of: projectKind, help: "project that may do it, by name or id"}
	return &resource{
		words: "network rbac", noun: "RBACPolicy", path: "rbac-policies", one: "rbac_policy", many: "rbac_policies",
		columns: columns(nil, "ID=id", "Object Type=object_type", "Object ID=object_id"),
		long:    columns(nil, "ID=id", "Object Type=object_type", "Object ID=object_id", "Action=action"),
		filters: []option{longOption(),
			{name: "type", attr: "object_type", choices: slices.Sorted(maps.Keys(sharedTypes())), help: "list policies of this type of object"},
			{name: "action", attr: "action", choices: actions, help: "list policies of this action"}},
		fields: fields(nil, "action id object_id object_type project_id target_project_id=target_tenant"),
		create: &form{
			args: []argument{{name: "rbac-object", attr: "object_id", kind: sharedKind}},
			options: []option{
				{name: "type", attr: "object_type", must: true, choices: slices.Sorted(maps.Keys(sharedTypes())), help: "type of the object"},
				{name: "action", attr: "action", must: true, choices: actions, help: "what the policy allows"},
				target,
				{name: "target-all-projects", attr: "target_tenant", flag: true, value: "*", help: "all projects may do it"},
				projectOption(),
			},
			finish: func(body object, _ []*given) (object, error) {
				if !body.has("target_tenant") {
					return nil, errors.New("--target-project or --target-all-projects is required")
				}
				return body, nil
			},
			example: "neutrino network rbac create web --type network --action access_as_shared --target-project blue",
		},
		set:    &form{options: []option{target}},
		remove: true,
	}
}

// sharedTypes are the words of the resources that RBAC policies share, by the
// API's names of their types.
func sharedTypes() map[string]string {
	return map[string]string{"network": "network", "security_group": "security group", "subnetpool": "subnet pool", "address_scope": "address scope"}
}

// sharedKind is the kind of the object that a policy is about: --type says it.
func sharedKind(all []*given) string {
	for _, g := range all {
		if g.name == "type" && g.is() {
			return sharedTypes()[g.texts[0]]
		}
	}
	return ""
}
