package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// looksLikeID says whether a word has the form of the ids that the API gives.
func looksLikeID(s string) bool {
	digits := strings.ReplaceAll(s, "-", "")
	return len(digits) == 32 && strings.Trim(digits, "0123456789abcdefABCDEF") == ""
}

// find is the object that an id or a name means: an id first, and a name only
// where no object has that id.
func (s *session) find(ctx context.Context, r *resource, parent, word string) (object, error) {
	// Ids are made by the API in one form, so that a word of another form needs
	// no question for an id; extensions have their alias for one.
	if looksLikeID(word) || r.name == "" || r.words == "extension" {
		answer, err := s.api.do(ctx, request{method: http.MethodGet, path: s.item(r, parent, word)})
		if err == nil {
			o, ok := answer.get(r.one).(object)
			if !ok {
				return nil, fmt.Errorf("the answer holds no %s", r.one)
			}
			return o, nil
		}
		if !isMissing(err) {
			return nil, err
		}
	}
	if r.name == "" || word == "" {
		return nil, missing(r, word)
	}
	if r.name == "floating_ip_address" {
		if _, err := netip.ParseAddr(word); err != nil {
			return nil, missing(r, word)
		}
	}
	return s.byName(ctx, r, parent, word)
}

func (s *session) byName(ctx context.Context, r *resource, parent, word string) (object, error) {
	req := request{path: s.collection(r, parent), query: url.Values{r.name: {word}}}
	if r.words == "extension" {
		req.query = nil // the API does not filter these
	}
	rows, err := s.api.list(ctx, req, r.many)
	if err != nil {
		return nil, err
	}
	var found []object
	for _, row := range rows {
		if row.text(r.name) == word || r.words == "extension" && row.text("name") == word {
			found = append(found, row)
		}
	}
	switch len(found) {
	case 0:
		return nil, missing(r, word)
	case 1:
		return found[0], nil
	}
	ids := make([]string, len(found))
	for i, o := range found {
		ids[i] = o.text("id")
	}
	return nil, fmt.Errorf("More than one %s is called %s; say which by its id: %s", r.noun, word, strings.Join(ids, ", "))
}

// missing is in the words of openstackclient, which scripts look for.
func missing(r *resource, word string) error {
	return fmt.Errorf("No %s found for %s", r.noun, word)
}

// id is the id of an object that a word means.
func (s *session) id(ctx context.Context, words, word string) (string, error) {
	if id := s.ids[words+"\n"+word]; id != "" {
		return id, nil
	}
	o, err := s.find(ctx, s.resource(words), "", word)
	if err != nil {
		return "", err
	}
	id := o.text("id")
	s.ids[words+"\n"+word] = id
	return id, nil
}

// collection is the path of a resource's list; parent is its parent's id.
func (s *session) collection(r *resource, parent string) string {
	if r.under == "" {
		return r.path
	}
	return s.resource(r.under).path + "/" + url.PathEscape(parent) + "/" + r.path
}

// item is the path of one object.
func (s *session) item(r *resource, parent, id string) string {
	return s.collection(r, parent) + "/" + url.PathEscape(id)
}

// key is the id of an object as paths need it.
func (r *resource) key(o object) string {
	for _, attr := range []string{"id", "alias", "network_id"} {
		if id := o.text(attr); id != "" {
			return id
		}
	}
	return ""
}
