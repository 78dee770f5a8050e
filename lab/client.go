package lab

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

// Client is a small client of the v2.0 API.
type Client struct {
	Endpoint string // "http://127.0.0.1:9696"
	Project  string // X-Project-Id; empty for the server's default
	http     *http.Client
}

// NewClient makes a client of the API at an endpoint.
func NewClient(endpoint string) *Client {
	return &Client{Endpoint: endpoint, http: &http.Client{
		Timeout: 30 * time.Second,
		// Connections of their own: a server that is killed in a test must not
		// leave dead ones in a shared pool.
		Transport: &http.Transport{MaxIdleConnsPerHost: 16, IdleConnTimeout: 5 * time.Second},
	}}
}

// Object is a resource as the API answers it.
type Object map[string]any

// Query holds filters of a list.
type Query map[string]string

// Text is an attribute that is a string; "" if it is not.
func (o Object) Text(key string) string { s, _ := o[key].(string); return s }

// Bool is an attribute that is true or false.
func (o Object) Bool(key string) bool { b, _ := o[key].(bool); return b }

// Int is an attribute that is a number.
func (o Object) Int(key string) int { f, _ := o[key].(float64); return int(f) }

// ID is the object's id.
func (o Object) ID() string { return o.Text("id") }

// Addresses are the addresses of a port's fixed IPs.
func (o Object) Addresses() []string {
	ips, _ := o["fixed_ips"].([]any)
	var out []string
	for _, ip := range ips {
		if m, ok := ip.(map[string]any); ok {
			out = append(out, Object(m).Text("ip_address"))
		}
	}
	return out
}

// APIError is an answer of the API that is not a success.
type APIError struct {
	Method, Path string
	Status       int
	Type         string // NeutronError's type
	Message      string
}

// Error says what was asked and what was answered.
func (e *APIError) Error() string {
	return fmt.Sprintf("lab: %s %s: %d %s: %s", e.Method, e.Path, e.Status, e.Type, e.Message)
}

// IsStatus reports whether an error is an answer of the API with this status.
func IsStatus(err error, status int) bool {
	var e *APIError
	return errors.As(err, &e) && e.Status == status
}

// List lists a collection ("networks", "security-group-rules") with filters.
func (c *Client) List(ctx context.Context, collection string, q Query) ([]Object, error) {
	values := url.Values{}
	for k, v := range q {
		values.Set(k, v)
	}
	path := "/v2.0/" + collection
	if len(values) > 0 {
		path += "?" + values.Encode()
	}
	var out map[string][]Object
	if err := c.Do(ctx, Request{Method: http.MethodGet, Path: path}, &out); err != nil {
		return nil, err
	}
	return out[strings.ReplaceAll(collection, "-", "_")], nil
}

// Get reads one object.
func (c *Client) Get(ctx context.Context, collection, id string) (Object, error) {
	var out map[string]Object
	if err := c.Do(ctx, Request{Method: http.MethodGet, Path: "/v2.0/" + collection + "/" + id}, &out); err != nil {
		return nil, err
	}
	return out[singular(collection)], nil
}

// Create makes an object.
func (c *Client) Create(ctx context.Context, collection string, body Object) (Object, error) {
	var out map[string]Object
	err := c.Do(ctx, Request{Method: http.MethodPost, Path: "/v2.0/" + collection, Body: map[string]Object{singular(collection): body}}, &out)
	return out[singular(collection)], err
}

// Update changes attributes of an object.
func (c *Client) Update(ctx context.Context, path string, body Object) (Object, error) {
	collection, _, _ := strings.Cut(path, "/")
	var out map[string]Object
	err := c.Do(ctx, Request{Method: http.MethodPut, Path: "/v2.0/" + path, Body: map[string]Object{singular(collection): body}}, &out)
	return out[singular(collection)], err
}

// Delete removes an object; one that is not there is no error.
func (c *Client) Delete(ctx context.Context, collection, id string) error {
	err := c.Do(ctx, Request{Method: http.MethodDelete, Path: "/v2.0/" + collection + "/" + id}, nil)
	if IsStatus(err, http.StatusNotFound) {
		return nil
	}
	return err
}

// Ensure finds the one object that the filters name, or creates it.
func (c *Client) Ensure(ctx context.Context, collection string, q Query, body Object) (Object, error) {
	found, err := c.List(ctx, collection, q)
	if err != nil {
		return nil, err
	}
	switch len(found) {
	case 0:
		return c.Create(ctx, collection, body)
	case 1:
		return found[0], nil
	}
	return nil, fmt.Errorf("lab: %d %s with %v, want one", len(found), collection, q)
}

// singular is what a body calls one object of a collection, which may lie below
// another object.
func singular(collection string) string {
	collection = collection[strings.LastIndexByte(collection, '/')+1:]
	return strings.TrimSuffix(strings.ReplaceAll(collection, "-", "_"), "s")
}

// Request is one request to the API.
type Request struct {
	Method string
	Path   string // from the slash: "/v2.0/ports"
	Body   any    // becomes JSON; nil for none
}

// Do sends one request and reads the answer into a value, which may be nil. An
// answer of 400 or more is an [APIError].
func (c *Client) Do(ctx context.Context, r Request, into any) error {
	var content io.Reader
	if r.Body != nil {
		b, err := json.Marshal(r.Body)
		if err != nil {
			return fmt.Errorf("lab: %s %s: %w", r.Method, r.Path, err)
		}
		content = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, c.Endpoint+r.Path, content)
	if err != nil {
		return fmt.Errorf("lab: %s %s: %w", r.Method, r.Path, err)
	}
	req.Header.Set("Accept", "application/json")
	if r.Body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.Project != "" {
		req.Header.Set("X-Project-Id", c.Project)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("lab: %s %s: %w", r.Method, r.Path, err)
	}
	if resp.StatusCode >= http.StatusBadRequest {
		return apiError(req, resp.StatusCode, b)
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("lab: %s %s: %w", r.Method, r.Path, err)
	}
	return nil
}

func apiError(req *http.Request, status int, body []byte) error {
	e := &APIError{Method: req.Method, Path: req.URL.Path, Status: status}
	var answer struct {
		NeutronError struct{ Type, Message string }
	}
	if json.Unmarshal(body, &answer) == nil && answer.NeutronError.Type != "" {
		e.Type, e.Message = answer.NeutronError.Type, answer.NeutronError.Message
	} else {
		e.Message = strings.TrimSpace(string(body))
	}
	return e
}
