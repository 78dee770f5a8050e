package api

import (
	"net/http"
	"slices"
	"strings"

	"neutrino"
	"neutrino/api/bounds"
	"neutrino/api/wire"
	"neutrino/intent"
	"neutrino/intent/tag"
	"neutrino/intent/work"
)

// tagsMember is the path segment and the attribute of tags.
const tagsMember = "tags"

// tagged gives a kind what objects with tags have: the paths below an item and
// the filters of a list (api.md sections 1.6 and 2.28). find is the kind's as
// intent knows it.
func tagged[T any, P tag.Taggable[T]](k *kind[T], find work.Kind[T]) *kind[T] {
	find.Missing = func(id neutrino.ID) error {
		return neutrino.Errorf(neutrino.NotFound, "TagResourceNotFound", "Resource %s %s could not be found.", k.many, id)
	}
	if k.members == nil {
		k.members = map[string]member{}
	}
	t := tags[T, P]{k, find}
	rule := ":" + tagsMember
	k.members[tagsMember] = member{t.answer, []route{
		{"GET", "", "get_" + k.ruleName() + rule}, {"GET", "/{tag}", "get_" + k.ruleName() + rule},
		{"POST", "", "create_" + k.ruleName() + rule},
		{"PUT", "", "update_" + k.ruleName() + rule}, {"PUT", "/{tag}", "update_" + k.ruleName() + rule},
		{"DELETE", "", "delete_" + k.ruleName() + rule}, {"DELETE", "/{tag}", "delete_" + k.ruleName() + rule},
	}}
	filters := map[string]func(*query[T], []string) error{
		"tags":         t.filter(hasAll, true),
		"tags-any":     t.filter(hasAny, true),
		"not-tags":     t.filter(hasAll, false),
		"not-tags-any": t.filter(hasAny, false),
	}
	for name, f := range k.filters {
		filters[name] = f
	}
	k.filters = filters
	return k
}

// tags answers for the tags of one kind.
type tags[T any, P tag.Taggable[T]] struct {
	kind *kind[T]
	find work.Kind[T]
}

// answer answers /v2.0/<path>/<id>/tags and one tag below it.
func (t tags[T, P]) answer(c *call, id neutrino.ID, rest []string) (*reply, error) {
	if len(rest) > 1 {
		return nil, noResource()
	}
	verbs := []string{http.MethodGet, http.MethodPut, http.MethodDelete}
	if len(rest) == 0 {
		verbs = append(verbs, http.MethodPost)
	}
	if !slices.Contains(verbs, c.method) {
		return nil, notAllowed(c.method, verbs...)
	}
	if c.method == http.MethodGet {
		return t.get(c, id, rest)
	}
	if c.method == http.MethodDelete && len(c.body) > 0 {
		return nil, wire.BadRequest("Request body is not supported in DELETE.")
	}
	edit, err := editOf(c, rest)
	if err != nil {
		return nil, err
	}
	if err := t.change(c, id, edit); err != nil {
		return nil, err
	}
	return edit.answer, nil
}

// edit is a change of tags.
type edit struct {
	verb   string // that the rule begins with
	do     func([]string) ([]string, error)
	answer *reply
}

// editOf is what a request that is no GET wants (api.md section 2.28).
func editOf(c *call, rest []string) (edit, error) {
	switch {
	case c.method == http.MethodDelete && len(rest) == 0:
		return edit{"delete_", tag.Replace(nil), &reply{status: http.StatusNoContent}}, nil
	case c.method == http.MethodDelete:
		return edit{"delete_", tag.Remove(rest[0]), &reply{status: http.StatusNoContent}}, nil
	case len(rest) > 0:
		return edit{"update_", tag.Add(rest[0]), &reply{status: http.StatusCreated, body: []byte("null")}}, nil
	}
	list, err := tagsIn(c)
	answer := &reply{status: http.StatusOK, body: appendTags(list)}
	if c.method == http.MethodPost {
		return edit{"create_", tag.Add(list...), answer}, err
	}
	return edit{"update_", tag.Replace(list), answer}, err
}

// get answers with all tags, or says with its status whether one is there.
func (t tags[T, P]) get(c *call, id neutrino.ID, rest []string) (*reply, error) {
	v := c.view()
	row, err := t.kind.find(v, id)
	if err != nil {
		return nil, t.find.Missing(id)
	}
	if !v.judge.Allows("get_"+t.kind.ruleName()+":"+tagsMember, target[T]{t.kind, v, row}) {
		return nil, noResource()
	}
	list := tag.Of[T, P](row)
	switch {
	case len(rest) == 0:
		return &reply{status: http.StatusOK, body: appendTags(list)}, nil
	case !slices.Contains(list, rest[0]):
		return nil, tag.Missing(rest[0])
	}
	return &reply{status: http.StatusNoContent}, nil
}

// change changes the tags in one transaction.
func (t tags[T, P]) change(c *call, id neutrino.ID, e edit) error {
	match, err := ifMatch(c.header)
	if err != nil {
		return err
	}
	return c.do(func(tx *intent.Tx) error {
		v := c.inside(tx)
		row, err := t.kind.find(v, id)
		if err != nil {
			return t.find.Missing(id)
		}
		if err := t.kind.permit(v, e.verb+t.kind.ruleName()+":"+tagsMember, row); err != nil {
			return err
		}
		if err := checkRevision(row, match); err != nil {
			return err
		}
		return tag.Change[T, P](tx, t.find, id, e.do)
	})
}

// tagsIn reads {"tags": […]}.
func tagsIn(c *call) ([]string, error) {
	body, err := c.parse(bounds.Shape{})
	if err != nil {
		return nil, err
	}
	only, ok := wire.StrictKeys(body, tagsMember)
	if !ok {
		return nil, neutrino.Invalidf("'tags', and only 'tags', must be in the body")
	}
	return tagList(only[tagsMember])
}

// tagList reads a list of tags.
func tagList(raw any) ([]string, error) {
	items, ok := raw.([]any)
	if !ok {
		return nil, neutrino.Invalidf("'%s' is not a list of tags", wire.Show(raw))
	}
	list := make([]string, len(items))
	for i, item := range items {
		if list[i], ok = item.(string); !ok {
			return nil, neutrino.Invalidf("'%s' is not a valid tag, which is a string", wire.Show(item))
		}
	}
	return list, tag.Check(list)
}

// parsePortTags reads the tags of a new port (tag-ports-during-bulk-creation).
func parsePortTags(p *neutrino.Port, raw any) (err error) {
	p.Tags, err = tagList(raw)
	return err
}

func appendTags(list []string) []byte {
	return append(wire.AppendList([]byte(`{"tags":`), list, wire.AppendString), '}')
}

// filter keeps the objects whose tags are, or are not, as has says.
func (t tags[T, P]) filter(has func(have, want []string) bool, wanted bool) func(*query[T], []string) error {
	return func(q *query[T], values []string) error {
		var want []string
		for _, v := range values {
			want = append(want, strings.Split(v, ",")...)
		}
		rule := "get_" + t.kind.ruleName() + ":" + tagsMember
		q.match = append(q.match, func(v view, row *T) bool {
			// What a caller may not see it may not find out by asking, either.
			return has(tag.Of[T, P](row), want) == wanted && v.judge.Allows(rule, target[T]{t.kind, v, row})
		})
		return nil
	}
}

func hasAny(have, want []string) bool {
	return slices.ContainsFunc(want, func(w string) bool { return slices.Contains(have, w) })
}

func hasAll(have, want []string) bool {
	return !slices.ContainsFunc(want, func(w string) bool { return !slices.Contains(have, w) })
}
