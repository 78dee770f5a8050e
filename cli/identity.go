package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// named is what Keystone says about a project or a domain.
type named struct{ ID, Name string }

// projectKind is the kind of an option whose value is a project by name or id.
// Projects are Keystone's; where there is none to ask, the word is the id.
const projectKind = "project"

// withDomains adds to each option that names a project one for its domain.
func withDomains(options []option) []option {
	var domains []option
	for _, o := range options {
		if o.of == projectKind {
			domains = append(domains, option{name: o.name + "-domain", arg: "<domain>", help: "domain of --" + o.name + ", by name or id"})
		}
	}
	return slices.Concat(options, domains)
}

// domainsIn remembers the domains that the options say, by the option that they
// are for.
func (s *session) domainsIn(all []*given) {
	for _, g := range all {
		if option, ok := strings.CutSuffix(g.name, "-domain"); ok && g.is() && g.attr == "" {
			s.domains[option] = g.texts[0]
		}
	}
}

// projectID is the id of a project that a word means. domain is empty where
// nothing says it.
func (s *session) projectID(ctx context.Context, word, domain string) (string, error) {
	c := s.api
	if !c.auth.kind.needsToken() || c.auth.authURL == "" || word == "" {
		return word, nil
	}
	if err := c.loggedIn(ctx); err != nil {
		return "", err
	}
	if domain == "" && (word == c.project.ID || word == c.project.Name) {
		return c.project.ID, nil
	}
	query := url.Values{"name": {word}}
	if domain != "" {
		id, err := s.ofKeystone(ctx, "domain", domain, url.Values{"name": {domain}})
		if err != nil {
			return "", err
		}
		query.Set("domain_id", id)
	}
	return s.ofKeystone(ctx, projectKind, word, query)
}

// ofKeystone is the id of a project or domain. Who may not see them has to know
// the id, as with openstackclient.
func (s *session) ofKeystone(ctx context.Context, kind, word string, byName url.Values) (string, error) {
	base := s.api.auth.identityURL() + "/" + kind + "s"
	answer, err := s.api.ask(ctx, base+"/"+url.PathEscape(word), request{method: http.MethodGet})
	if err == nil {
		o, _ := answer.get(kind).(object)
		if o.text("id") == "" {
			return "", fmt.Errorf("look for %s %s at Keystone: the answer holds no id", kind, word)
		}
		return o.text("id"), nil
	}
	if !isMissing(err) && !isForbidden(err) {
		return "", fmt.Errorf("look for %s %s at Keystone: %w", kind, word, err)
	}
	answer, err = s.api.ask(ctx, base+"?"+byName.Encode(), request{method: http.MethodGet})
	if isForbidden(err) {
		return word, nil
	}
	if err != nil {
		return "", fmt.Errorf("look for %s %s at Keystone: %w", kind, word, err)
	}
	var ids []string
	rows, _ := answer.get(kind + "s").([]any)
	for _, row := range rows {
		if o, _ := row.(object); o.text("name") == word {
			ids = append(ids, o.text("id"))
		}
	}
	switch len(ids) {
	case 0:
		return "", fmt.Errorf("No %s with a name or ID of '%s' exists.", kind, word)
	case 1:
		return ids[0], nil
	}
	return "", fmt.Errorf("More than one %s is called %s; say its domain, or which by its id: %s", kind, word, strings.Join(ids, ", "))
}
