package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"neutrino"
	"neutrino/feed"
)

// follower is a [Source] that can tell which store it follows and take the
// operator's word for another; a *[feed.Client] is one.
type follower interface {
	Store() feed.StoreState
	AcceptStore(store neutrino.StoreIdentity) error
}

// apart is what of the host is not as the server's store says, because that store is
// another one or was restored.
func (a *Agent) apart(v feed.View) []Trouble {
	var all []Trouble
	if why := a.deps.Source.State().NotUsed; why != "" {
		all = append(all, Trouble{Object: neutrino.HostObject, Reason: why, kind: neutrino.Noticed})
	}
	for _, p := range v.Held {
		all = append(all, Trouble{Object: p.Object, Reason: p.Reason, kind: p.Kind})
	}
	return all
}

// serveStore answers GET /store, which store the host follows, and POST /accept, the
// operator's word for the store that waits.
func (a *Agent) serveStore(mux *http.ServeMux) {
	source, ok := a.deps.Source.(follower)
	if !ok {
		return
	}
	mux.HandleFunc("GET /store", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		// A caller that went away needs no answer.
		_ = json.NewEncoder(w).Encode(source.Store())
	})
	mux.HandleFunc("POST /accept", func(w http.ResponseWriter, r *http.Request) {
		err := source.AcceptStore(neutrino.StoreIdentity{
			Cluster: neutrino.ID(r.URL.Query().Get("cluster")), Life: neutrino.ID(r.URL.Query().Get("life")),
		})
		switch {
		case err == nil:
		case errors.Is(err, feed.ErrNothingWaits):
			http.Error(w, err.Error(), http.StatusNotFound)
		default:
			http.Error(w, err.Error(), http.StatusConflict)
		}
	})
}

// ReadStore asks the agent that answers on the socket which store it follows.
func ReadStore(ctx context.Context, socket string) (feed.StoreState, error) {
	var s feed.StoreState
	b, err := get(ctx, socket, "/store")
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	if err != nil {
		return s, fmt.Errorf("agent: store from %s: %w", socket, err)
	}
	return s, nil
}

// AcceptStore gives the agent that answers on the socket the operator's word: it
// follows the store that waits, which must be the one that is named.
func AcceptStore(ctx context.Context, socket string, store neutrino.StoreIdentity) error {
	named := url.Values{"cluster": {string(store.Cluster)}, "life": {string(store.Life)}}
	if _, err := ask(ctx, socket, http.MethodPost, "/accept?"+named.Encode()); err != nil {
		return fmt.Errorf("agent: accept a store by %s: %w", socket, err)
	}
	return nil
}
