package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// rest is a JSON service with a token.
type rest struct {
	base  string
	token string
}

// object is a JSON object.
type object map[string]any

func (o object) text(key string) string {
	s, _ := o[key].(string)
	return s
}

// ask sends a request; an answer of 400 or more is an error with its body. out
// may be nil. The headers of the answer are returned.
func (r rest) ask(ctx context.Context, request string, body, out any) (http.Header, error) {
	method, path, _ := strings.Cut(request, " ")
	var content io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", request, err)
		}
		content = bytes.NewReader(b)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, r.base+path, content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", request, err)
	}
	req.Header.Set("Content-Type", "application/json")
	if r.token != "" {
		req.Header.Set("X-Auth-Token", r.token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", request, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", request, err)
	}
	if resp.StatusCode >= http.StatusBadRequest {
		return nil, fmt.Errorf("%s: %s: %s", request, resp.Status, bytes.TrimSpace(answer))
	}
	if out == nil {
		return resp.Header, nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return nil, fmt.Errorf("%s: %w", request, err)
	}
	return resp.Header, nil
}

// list gets a collection, which the answer has under its own name, with
// underscores.
func (r rest) list(ctx context.Context, collection, query string) ([]object, error) {
	name := strings.ReplaceAll(collection[strings.LastIndex(collection, "/")+1:], "-", "_")
	var answer map[string]json.RawMessage
	if _, err := r.ask(ctx, "GET "+collection+query, nil, &answer); err != nil {
		return nil, err
	}
	var found []object
	if err := json.Unmarshal(answer[name], &found); err != nil {
		return nil, fmt.Errorf("GET %s: no list of %s: %w", collection, name, err)
	}
	return found, nil
}

// create posts an object and returns it as it was made.
func (r rest) create(ctx context.Context, collection string, o object) (object, error) {
	single := strings.TrimSuffix(collection[strings.LastIndex(collection, "/")+1:], "s")
	answer := map[string]object{}
	if _, err := r.ask(ctx, "POST "+collection, map[string]object{single: o}, &answer); err != nil {
		return nil, err
	}
	return answer[single], nil
}

// ensure finds an object by a query or makes it.
func (r rest) ensure(ctx context.Context, collection, query string, o object) (object, error) {
	found, err := r.list(ctx, collection, query)
	if err != nil {
		return nil, err
	}
	if len(found) > 0 {
		return found[0], nil
	}
	return r.create(ctx, collection, o)
}
