package cli

import (
	"context"
	"slices"
	"strings"
)

// resource is one kind of object of the API: its words on the command line, its
// names on the wire, and what its commands say. A new resource is one literal.
type resource struct {
	words string // "security group rule"
	noun  string // "SecurityGroupRule", for messages
	path  string // "security-group-rules"; below a parent the last segment
	one   string // the key around one object
	many  string // the key around a list
	// name is the attribute by which a resource is found besides its id.
	name  string
	under string // the words of the parent whose id the path leads through
	tags  bool

	columns []column // of a list
	long    []column // which --long adds
	filters []option
	// sometimes are columns that a list shows when an object has them.
	sometimes []column
	fields    []column // of one object

	create, set, unset *form
	remove             bool
	noShow             bool
	// dress adds to a shown object what the API tells elsewhere.
	dress func(context.Context, *session, object) (object, error)
}

// form is a command that sends attributes.
type form struct {
	args    []argument // of create
	options []option
	// finish completes or checks the body.
	finish  func(body object, all []*given) (object, error)
	example string
}

// argument is a word of the command line that is no option.
type argument struct {
	name string
	attr string
	of   string // names a resource of this kind
	// kind says the kind where an option decides it.
	kind func([]*given) string
	// optional may be left out, with all that are behind it.
	optional bool
}

// columns makes columns from "Title=attribute" lines with the looks of the
// attributes.
func columns(looks map[string]look, specs ...string) []column {
	var all []column
	for _, spec := range specs {
		title, attr, ok := strings.Cut(spec, "=")
		if !ok {
			attr = title
		}
		c := column{title: title, attr: attr, look: looks[attr]}
		if attr == "tags" {
			c.of = tagsOf
		} else if strings.HasSuffix(attr, "_prefixlen") {
			c.of = lengthOf(attr)
		}
		all = append(all, c)
	}
	return all
}

// tagsOf are an object's tags: none, where the API has no tags.
func tagsOf(o object) any {
	if tags := o.get("tags"); tags != nil {
		return tags
	}
	return []any{}
}

// lengthOf is a prefix length as a number: the API writes it as text (api.md
// section 7, T7), which openstackclient does not show.
func lengthOf(attr string) func(object) any {
	return func(o object) any {
		if n, err := integer(o.text(attr)); err == nil {
			return n
		}
		return o.get(attr)
	}
}

// fields are columns from one string of words.
func fields(looks map[string]look, spec string) []column {
	return columns(looks, strings.Fields(spec)...)
}

// resources is the table of everything that the client knows.
func resources() []*resource {
	return []*resource{
		networks(), subnets(), ports(), routers(), floatingIPs(), portForwardings(), securityGroups(), securityGroupRules(),
		agents(), subnetPools(), addressScopes(), rbacPolicies(), meters(), meterRules(), zones(), extensions(), availabilities(), providers(),
	}
}

// Options that many resources have.

func projectOption() option {
	return option{name: "project", attr: "project_id", of: projectKind, help: "owner's project, by name or id"}
}

func descriptionOption() option {
	return option{name: "description", attr: "description", help: "description"}
}

func nameOption() option { return option{name: "name", attr: "name", help: "name"} }

func longOption() option {
	return option{name: "long", flag: true, help: "show more columns"}
}

// allProjectsOption is what Nova's groups once needed; the API of networks lists
// for an administrator those of all projects anyway.
func allProjectsOption() option {
	return option{name: "all-projects", flag: true, help: "list those of all projects, as an administrator sees them anyway"}
}

func fixedIPKeys() []key {
	return []key{{name: "subnet", attr: "subnet_id", of: "subnet"}, {name: "ip-address", attr: "ip_address"}}
}

func routeKeys() []key {
	return []key{{name: "destination", attr: "destination", must: true}, {name: "gateway", attr: "nexthop", must: true}}
}

// required are the options with one that must be given.
func required(options []option, name string) []option {
	options = slices.Clone(options)
	for i := range options {
		options[i].must = options[i].must || options[i].name == name
	}
	return options
}

// tagFilters are the filters of a resource with tags.
func tagFilters() []option {
	return []option{
		{name: "tags", attr: "tags", arg: "<tag>[,<tag>...]", help: "list those that have all these tags"},
		{name: "any-tags", attr: "tags-any", arg: "<tag>[,<tag>...]", help: "list those that have one of these tags"},
		{name: "not-tags", attr: "not-tags", arg: "<tag>[,<tag>...]", help: "list those that do not have all these tags"},
		{name: "not-any-tags", attr: "not-tags-any", arg: "<tag>[,<tag>...]", help: "list those that have none of these tags"},
	}
}

// tagOptions are the options of create and set of a resource with tags. Tags
// have a path of their own, so that their attribute never stands in a body.
func tagOptions() []option {
	return []option{
		{name: "tag", many: true, help: "add this tag"},
		{name: "no-tag", flag: true, help: "take all tags away first"},
	}
}

func untagOptions() []option {
	return []option{
		{name: "tag", many: true, help: "take this tag away"},
		{name: "all-tag", flag: true, help: "take all tags away"},
	}
}
