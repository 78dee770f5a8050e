package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/html"
)

// browser is a person's browser without scripts: it keeps cookies, reads pages
// and fills in their forms.
type browser struct {
	base string
	http *http.Client
}

func newBrowser(base string) (*browser, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &browser{base: base, http: &http.Client{Jar: jar, CheckRedirect: stay, Timeout: time.Minute}}, nil
}

// page is an answer: what it says, and what of it matters.
type page struct {
	status int
	header http.Header
	text   string
	root   *html.Node
}

// open gets a page. One of an error, and one that tells of an error, is an error.
func (b *browser) open(ctx context.Context, path string) (*page, error) {
	return b.ask(ctx, path, nil)
}

// ask gets a page, or sends it the fields of a form as a script does that shows
// the form in a window.
func (b *browser) ask(ctx context.Context, path string, fields url.Values) (*page, error) {
	method, body := http.MethodGet, io.Reader(nil)
	if fields != nil {
		method, body = http.MethodPost, strings.NewReader(fields.Encode())
	}
	req, err := http.NewRequestWithContext(ctx, method, b.base+path, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Referer", b.base+"/")
	if fields != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("X-Requested-With", "XMLHttpRequest")
	}
	resp, err := b.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	p := &page{status: resp.StatusCode, header: resp.Header, text: string(text)}
	if p.root, err = html.Parse(strings.NewReader(p.text)); err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	if complaint := p.complaint(); p.status >= http.StatusBadRequest || complaint != "" {
		return nil, fmt.Errorf("%s %s: status %d %s", method, path, p.status, complaint)
	}
	return p, nil
}

// complaint is what the page says of an error: an alert, or the note beside a
// field that was not accepted.
func (p *page) complaint() string {
	var all []string
	for n := range p.root.Descendants() {
		class := attribute(n, "class")
		if !strings.Contains(class, "alert-danger") && !strings.Contains(class, "has-error") || within(n, "noscript") {
			continue
		}
		if said := strings.Join(strings.Fields(words(n)), " "); said != "" {
			all = append(all, said)
		}
	}
	if toast := p.header.Get("X-Horizon-Messages"); strings.Contains(toast, `"error"`) {
		all = append(all, toast)
	}
	return strings.Join(all, "; ")
}

// submit opens the page of a form, fills it in and sends it. A choice is made
// by its value, or by the text that a person sees.
func (b *browser) submit(ctx context.Context, path string, fill map[string]string) error {
	p, err := b.open(ctx, path)
	if err != nil {
		return err
	}
	form := p.form(path)
	if form == nil {
		return fmt.Errorf("%s: there is no form on the page", path)
	}
	fields := fieldsOf(form)
	for _, name := range slices.Sorted(maps.Keys(fill)) {
		value, err := choose(form, name, fill[name])
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		fields.Set(name, value)
	}
	if p, err = b.ask(ctx, path, fields); err != nil {
		return err
	}
	// What went wrong behind the form, the next page tells.
	if next := p.header.Get(horizonLocation); next != "" {
		_, err = b.open(ctx, next)
	}
	return err
}

// act presses the button of a row of a table.
func (b *browser) act(ctx context.Context, path, action string) error {
	p, err := b.open(ctx, path)
	if err != nil {
		return err
	}
	for n := range p.root.Descendants() {
		if attribute(n, "name") == "csrfmiddlewaretoken" {
			_, err = b.ask(ctx, path, url.Values{"csrfmiddlewaretoken": {attribute(n, "value")}, "action": {action}})
			return err
		}
	}
	return fmt.Errorf("%s: there is no form on the page", path)
}

// row is the id of the row of a table on a page that shows a name.
func (b *browser) row(ctx context.Context, path, name string) (string, error) {
	p, err := b.open(ctx, path)
	if err != nil {
		return "", err
	}
	for n := range p.root.Descendants() {
		if id := attribute(n, "data-object-id"); id != "" && attribute(n, "data-display") == name {
			return id, nil
		}
	}
	return "", fmt.Errorf("%s does not list %q", path, name)
}

// form is the form that leads to a path.
func (p *page) form(path string) *html.Node {
	for n := range p.root.Descendants() {
		if n.Data == "form" && strings.TrimSpace(attribute(n, "action")) == path {
			return n
		}
	}
	return nil
}

// fieldsOf are the fields of a form as the page fills them in.
func fieldsOf(form *html.Node) url.Values {
	fields := url.Values{}
	for n := range form.Descendants() {
		name, kind := attribute(n, "name"), attribute(n, "type")
		switch {
		case name == "" || kind == "submit" || kind == "button":
		case n.Data == "textarea":
			fields.Add(name, words(n))
		case n.Data == "select":
			if value, ok := chosen(n); ok {
				fields.Add(name, value)
			}
		case n.Data == "input" && (kind == "checkbox" || kind == "radio"):
			if _, checked := lookup(n, "checked"); checked {
				value, there := lookup(n, "value")
				if !there {
					value = "on" // as a browser sends it
				}
				fields.Add(name, value)
			}
		case n.Data == "input":
			fields.Add(name, attribute(n, "value"))
		}
	}
	return fields
}

// chosen is the choice that a page makes: without any, a browser sends the first.
func chosen(choice *html.Node) (value string, ok bool) {
	for o := range choice.Descendants() {
		if o.Data != "option" {
			continue
		}
		if _, selected := lookup(o, "selected"); selected {
			return attribute(o, "value"), true
		}
		if _, several := lookup(choice, "multiple"); !ok && !several {
			value, ok = attribute(o, "value"), true
		}
	}
	return value, ok
}

// choose is the value of a field: of a choice, the one that begins with the text.
func choose(form *html.Node, name, want string) (string, error) {
	there := false
	var seen []string
	for n := range form.Descendants() {
		if attribute(n, "name") != name {
			continue
		}
		there = true
		for o := range n.Descendants() {
			if o.Data != "option" {
				continue
			}
			text := strings.TrimSpace(words(o))
			if attribute(o, "value") == want || strings.HasPrefix(text, want) {
				return attribute(o, "value"), nil
			}
			seen = append(seen, text)
		}
	}
	if !there {
		return "", fmt.Errorf("the form has no field %s", name)
	}
	if seen != nil {
		return "", errors.New(name + " offers " + strings.Join(seen, ", ") + ", not " + want)
	}
	return want, nil
}

func lookup(n *html.Node, name string) (string, bool) {
	i := slices.IndexFunc(n.Attr, func(a html.Attribute) bool { return a.Key == name })
	if n.Type != html.ElementNode || i < 0 {
		return "", false
	}
	return n.Attr[i].Val, true
}

func attribute(n *html.Node, name string) string {
	value, _ := lookup(n, name)
	return value
}

// words are the text below an element.
func words(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
		}
	}
	return b.String()
}

func within(n *html.Node, kind string) bool {
	for a := range n.Ancestors() {
		if a.Data == kind {
			return true
		}
	}
	return n.Data == kind
}
