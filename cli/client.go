package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// patience is how long one request may take: a list of a million ports.
const patience = 5 * time.Minute

// client speaks the Networking API v2.0.
type client struct {
	http *http.Client
	auth auth

	endpoint string // without /v2.0
	header   http.Header
	debug    io.Writer // a line for each request, where there is one
	project  named     // that of the token
}

// request is one call of the API.
type request struct {
	method string
	path   string // below /v2.0/, escaped
	query  url.Values
	body   any
}

// refusal is an answer of the API that says no.
type refusal struct {
	status        int
	kind, message string
	request       string // the server's name for it, to be found in its log
}

func (e *refusal) Error() string {
	kind := e.kind
	if kind != "" {
		kind = " " + kind
	}
	text := fmt.Sprintf("%s (HTTP %d%s)", e.message, e.status, kind)
	if e.request != "" {
		text += " (Request-ID: " + e.request + ")"
	}
	return text
}

// isMissing says whether the API answered that there is no such object.
func isMissing(err error) bool {
	var r *refusal
	return errors.As(err, &r) && r.status == http.StatusNotFound
}

func isForbidden(err error) bool {
	var r *refusal
	return errors.As(err, &r) && r.status == http.StatusForbidden
}

// do sends a request and reads the answer, nil where it has no body.
func (c *client) do(ctx context.Context, r request) (object, error) {
	if err := c.loggedIn(ctx); err != nil {
		return nil, err
	}
	return c.ask(ctx, c.endpoint+"/v2.0/"+r.path, r)
}

// loggedIn logs in where that is needed and not done.
func (c *client) loggedIn(ctx context.Context) error {
	if c.endpoint == "" || c.auth.kind.needsToken() && c.header.Get("X-Auth-Token") == "" {
		return c.login(ctx)
	}
	return nil
}

// ask sends a request to the URL.
func (c *client) ask(ctx context.Context, target string, r request) (object, error) {
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	req, err := newRequest(ctx, r.method, target, r.body)
	if err != nil {
		return nil, err
	}
	for name, values := range c.header {
		req.Header[name] = values
	}
	if c.auth.kind == authBasic {
		req.SetBasicAuth(c.auth.username, c.auth.password)
	}
	body, _, err := c.send(req)
	if err != nil {
		return nil, err
	}
	if len(bytes.TrimSpace(body)) == 0 || string(bytes.TrimSpace(body)) == "null" {
		return nil, nil
	}
	v, err := parseJSON(body)
	o, ok := v.(object)
	if err != nil || !ok {
		return nil, fmt.Errorf("the answer to %s %s is no JSON object", r.method, target)
	}
	return o, nil
}

func newRequest(ctx context.Context, method, target string, body any) (*http.Request, error) {
	var content io.Reader
	if body != nil {
		b, err := marshal(body)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", method, target, err)
		}
		content = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, target, content)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "neutrino")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

// send does the round trip; a status from 400 on is an error.
func (c *client) send(req *http.Request) ([]byte, http.Header, error) {
	began := time.Now()
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot reach %s: %w", req.URL.Host, cause(err))
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, nil, fmt.Errorf("read the answer of %s: %w", req.URL.Host, err)
	}
	if c.debug != nil {
		fmt.Fprintf(c.debug, "%s %s: %d, %d bytes, %v, %s\n", req.Method, req.URL.Redacted(), resp.StatusCode,
			len(body), time.Since(began).Round(time.Microsecond), resp.Header.Get("X-Openstack-Request-Id"))
	}
	if resp.StatusCode >= http.StatusBadRequest {
		return nil, nil, refusalOf(resp, body)
	}
	return body, resp.Header, nil
}

// cause drops the method and the URL that net/http puts before a failure.
func cause(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// refusalOf reads the forms of an error's body: Neutron's, and Keystone's.
func refusalOf(resp *http.Response, body []byte) error {
	var answer struct {
		NeutronError json.RawMessage
		Error        struct{ Title, Message string }
	}
	var neutron struct{ Type, Message string }
	e := &refusal{status: resp.StatusCode, request: printable(resp.Header.Get("X-Openstack-Request-Id"))}
	if json.Unmarshal(body, &answer) == nil {
		if json.Unmarshal(answer.NeutronError, &neutron) == nil && neutron.Message != "" {
			e.kind, e.message = neutron.Type, neutron.Message
		} else if answer.Error.Message != "" {
			e.kind, e.message = answer.Error.Title, answer.Error.Message
		}
	}
	if e.message == "" {
		e.message = strings.TrimSpace(string(body))
	}
	if e.message == "" {
		e.message = http.StatusText(resp.StatusCode)
	}
	return e
}

// list reads a whole collection, page by page where the server makes pages.
func (c *client) list(ctx context.Context, r request, key string) ([]object, error) {
	r.method = http.MethodGet
	var all []object
	for {
		answer, err := c.do(ctx, r)
		if err != nil {
			return nil, err
		}
		rows, ok := answer.get(key).([]any)
		if !ok {
			return nil, fmt.Errorf("the answer to GET /v2.0/%s has no list %q", r.path, key)
		}
		for _, row := range rows {
			if o, ok := row.(object); ok {
				all = append(all, o)
			}
		}
		next := nextPage(answer, key)
		if next == nil || len(rows) == 0 {
			return all, nil
		}
		r.query = next
	}
}

// nextPage is the query of the link to the next page, nil on the last page.
func nextPage(answer object, key string) url.Values {
	links, _ := answer.get(key + "_links").([]any)
	for _, l := range links {
		link, _ := l.(object)
		if link.text("rel") != "next" {
			continue
		}
		if u, err := url.Parse(link.text("href")); err == nil {
			return u.Query()
		}
	}
	return nil
}
