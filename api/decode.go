package api

import (
	"bytes"
	"maps"
	"reflect"
	"slices"
	"strings"

	"neutrino"
	"neutrino/api/bounds"
	"neutrino/api/wire"
)

// isBlank reports whether a body says nothing.
func isBlank(body []byte) bool { return len(bytes.TrimSpace(body)) == 0 }

// shape is what a body about the kind's objects may say.
func (k *kind[T]) shape() bounds.Shape {
	return bounds.Shape{One: k.one, Many: k.many, Knows: func(name string) bool {
		return k.attribute(name) != nil || k.isComputed(name) || k.isAside(name) || slices.Contains(k.reshaped, name)
	}}
}

// unwrapOne finds the object that a body wraps in its singular key.
func unwrapOne(body wire.Object, one string) (wire.Object, error) {
	raw, ok := body[one]
	if !ok || raw == nil {
		return nil, wire.BadRequest("Unable to find '%s' in request body", one)
	}
	o, ok := raw.(wire.Object)
	if !ok {
		return nil, wire.BadRequest("Body contains invalid data")
	}
	return o, nil
}

// unwrapMany finds the objects of a bulk body; each may be wrapped again.
func unwrapMany(body wire.Object, one, many string) ([]wire.Object, error) {
	list, ok := body[many].([]any)
	if !ok {
		return nil, wire.BadRequest("Body contains invalid data")
	}
	if len(list) == 0 {
		return nil, wire.BadRequest("Resources required")
	}
	items := make([]wire.Object, 0, len(list))
	for _, raw := range list {
		o, ok := raw.(wire.Object)
		if !ok {
			return nil, wire.BadRequest("Body contains invalid data")
		}
		if inner, ok := o[one]; ok {
			if o, ok = inner.(wire.Object); !ok {
				return nil, wire.BadRequest("Body contains invalid data")
			}
		}
		items = append(items, o)
	}
	return items, nil
}

// fold leaves one name alone of those that an attribute has (api.md section 1.5).
func (k *kind[T]) fold(o wire.Object) (wire.Object, error) {
	for other, name := range k.others {
		value, ok := o[other]
		if !ok {
			continue
		}
		if same, both := o[name]; both && wire.Spell(same) != wire.Spell(value) {
			return nil, wire.BadRequest("'%s' and '%s' do not match", name, other)
		}
		folded := maps.Clone(o)
		delete(folded, other)
		folded[name] = value
		o = folded
	}
	return o, nil
}

// request is one decoded object of a POST or PUT.
type request[T any] struct {
	noun T
	set  neutrino.Fields // the attributes that the client named
	// hidden has the ids that are no fields of the noun.
	hidden map[string]neutrino.ID
	// asides has the values, by pointer, that are no fields of the noun.
	asides map[string]any
	// inner are the attributes inside attributes that the client named, as rules
	// call them: "fixed_ips:ip_address".
	inner []string
	verb  verb
}

// verb tells a POST from a PUT where the rules differ.
type verb int

const (
	post verb = iota
	put
)

// prefix is what names of rules for the verb begin with.
func (v verb) prefix() string {
	if v == post {
		return "create_"
	}
	return "update_"
}

// takes reports whether the attribute can be sent with this verb.
func (v verb) takes(a *wire.Attribute) bool {
	if v == post {
		return a.Post
	}
	return a.Put
}

// decode turns a JSON object into a noun: which attributes may be there, which
// must, and what their values are (api.md section 1.2).
func (k *kind[T]) decode(v verb, raw wire.Object) (*request[T], error) {
	raw, err := k.fold(raw)
	if err == nil && k.reshape != nil {
		raw, err = k.reshape(raw)
	}
	if err != nil {
		return nil, err
	}
	if err := k.checkNames(v, raw); err != nil {
		return nil, err
	}
	req := &request[T]{set: make(neutrino.Fields, len(raw)), verb: v}
	for _, a := range k.attrs.List {
		value, given := raw[a.Name]
		if !given {
			if v != post || !a.Defaulted {
				continue
			}
			value = a.Initial
		}
		if err := k.decodeAttribute(a, &req.noun, value); err != nil {
			return nil, err
		}
		if given {
			req.set[a.Name] = true
			req.inner = append(req.inner, innerNames(a.Name, value)...)
		}
	}
	k.nameParts(raw, req.set)
	if err := k.decodeAsides(raw, req); err != nil {
		return nil, err
	}
	return req, k.decodeHidden(raw, req)
}

// decodeAsides reads the values that the noun has no fields for.
func (k *kind[T]) decodeAsides(raw wire.Object, req *request[T]) error {
	if len(k.asides) == 0 {
		return nil
	}
	req.asides = map[string]any{}
	for name, into := range k.asides {
		p := into()
		if value, given := raw[name]; given {
			if err := wire.Decode(&wire.Attribute{Name: name, Type: reflect.TypeOf(p).Elem(), Bounded: true}, p, value); err != nil {
				return err
			}
		}
		req.asides[name] = p
	}
	return nil
}

// nameParts adds the attributes inside attributes that the client named.
func (k *kind[T]) nameParts(raw wire.Object, set neutrino.Fields) {
	for name, parts := range k.parts {
		inner, _ := raw[name].(wire.Object)
		for _, part := range parts {
			if _, given := inner[part]; given {
				set[name+"."+part] = true
			}
		}
	}
}

// decodeHidden reads the ids that the noun has no fields for; null is none.
func (k *kind[T]) decodeHidden(raw wire.Object, req *request[T]) error {
	for _, name := range k.hidden {
		value, given := raw[name]
		if !given || value == nil {
			continue
		}
		var id neutrino.ID
		if err := wire.DecodeText(&wire.Attribute{Name: name, UUID: true}, (*string)(&id), value); err != nil {
			return err
		}
		if req.hidden == nil {
			req.hidden = map[string]neutrino.ID{}
		}
		req.hidden[name] = id
	}
	return nil
}

func (k *kind[T]) decodeAttribute(a *wire.Attribute, row *T, value any) error {
	if parse := k.parse[a.Name]; parse != nil {
		return parse(row, value)
	}
	return wire.Decode(a, a.Of(row), value)
}

// isAside reports whether a POST takes the name although no attribute has it.
func (k *kind[T]) isAside(name string) bool {
	return slices.Contains(k.hidden, name) || k.asides[name] != nil
}

// checkNames refuses attributes that are unknown, that the verb does not take,
// and a POST without a required one.
func (k *kind[T]) checkNames(v verb, raw wire.Object) error {
	var unknown, refused []string
	for name := range raw {
		a := k.attrs.ByName[name]
		switch {
		case a == nil && v == post && k.isAside(name):
		case a == nil && !k.isComputed(name) && !k.isAside(name):
			unknown = append(unknown, name)
		case a == nil || !v.takes(a):
			refused = append(refused, name)
		}
	}
	if len(unknown) > 0 {
		return unrecognized(unknown)
	}
	if len(refused) > 0 {
		slices.Sort(refused)
		if v == put {
			return wire.BadRequest("Cannot update read-only attribute %s", refused[0])
		}
		return wire.BadRequest("Attribute '%s' not allowed in POST", refused[0])
	}
	if v == put {
		return nil
	}
	for _, a := range k.attrs.List {
		if _, ok := raw[a.Name]; a.Required && !ok {
			return wire.BadRequest("Failed to parse request. Required attribute '%s' not specified", a.Name)
		}
	}
	return nil
}

// unrecognized is the 400 of attributes that do not exist.
func unrecognized(names []string) error {
	slices.Sort(names)
	return wire.BadRequest("Unrecognized attribute(s) '%s'", strings.Join(names, ", "))
}
