package view

import (
	"reflect"
	"slices"

	"neutrino/strictjson"
)

// Kind is a kind of rows that this program knows, with the paths of its
// attributes: "fixed_ips.subnet_id".
type Kind struct {
	Name       string
	Attributes []string
}

// Kinds are the kinds of rows that this program knows, in no particular order.
func Kinds() []Kind {
	var out []Kind
	for _, k := range kinds {
		out = append(out, Kind{k.name(), strictjson.Attributes(k.typ())})
	}
	return out
}

// Lacks are the attributes that these kinds have and the others lack, as
// "rule.remote_address_group_id"; of a kind that is missing, its name alone.
func Lacks(these, others []Kind) []string {
	var out []string
	known := map[string][]string{}
	for _, k := range others {
		known[k.Name] = k.Attributes
	}
	for _, k := range these {
		attributes, ok := known[k.Name]
		if !ok {
			out = append(out, k.Name)
			continue
		}
		for _, a := range k.Attributes {
			if !slices.Contains(attributes, a) {
				out = append(out, k.Name+"."+a)
			}
		}
	}
	slices.Sort(out)
	return out
}

func (table[V]) typ() reflect.Type { return reflect.TypeFor[V]() }
