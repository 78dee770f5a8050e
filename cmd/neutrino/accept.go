package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"neutrino"
	"neutrino/agent"
	"neutrino/feed"
)

func acceptCommand() *cobra.Command {
	var state string
	var store neutrino.StoreIdentity
	cmd := &cobra.Command{
		Use:   "accept",
		Short: "Let this host follow a store that it does not follow by itself",
		Long: "An agent refuses the view of another store than its own, and keeps what a restored store lacks. Without options this says\n" +
			"what waits and what the host would lose. With the cluster and the life of that store it takes the store's word.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, socket := cmd.Context(), agent.SocketPath(state)
			if store.Named() {
				if err := agent.AcceptStore(ctx, socket, store); err != nil {
					return err
				}
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "this host follows life %s of cluster %s\n", store.Life, store.Cluster)
				return err
			}
			if store.Cluster != "" || store.Life != "" {
				return errors.New("name both --cluster and --life; without them, neutrino agent accept says which store waits")
			}
			s, err := agent.ReadStore(ctx, socket)
			if err != nil {
				return noAgent(err, state)
			}
			printStore(cmd.OutOrStdout(), s)
			return nil
		},
	}
	stateFlag(cmd, &state)
	cmd.Flags().StringVar((*string)(&store.Cluster), "cluster", "", "cluster id of the store to follow")
	cmd.Flags().StringVar((*string)(&store.Life), "life", "", "life of the store to follow")
	return cmd
}

// printStore says what waits for the operator's word, and the command that gives it.
func printStore(w io.Writer, s feed.StoreState) {
	fmt.Fprintf(w, "follows   cluster %s, life %s, revision %d\n", s.Held.Cluster, s.Held.Life, s.Held.Revision)
	if s.Why == "" {
		fmt.Fprintln(w, "nothing waits to be accepted")
		return
	}
	next := s.Held
	if s.Offered != nil {
		next = *s.Offered
		fmt.Fprintf(w, "offered   cluster %s, life %s, revision %d\n", next.Cluster, next.Life, next.Revision)
	}
	fmt.Fprintf(w, "waits     %s\n", s.Why)
	for _, group := range []struct {
		name string
		rows []string
	}{{"drop  ", s.Drops}, {"change", s.Changes}, {"add   ", s.Adds}} {
		for _, r := range group.rows {
			fmt.Fprintf(w, "%s    %s\n", group.name, r)
		}
	}
	fmt.Fprintf(w, "To drop %d rows, change %d and add %d, and to follow that store from now on:\n  neutrino agent accept --cluster %s --life %s\n",
		len(s.Drops), len(s.Changes), len(s.Adds), next.Cluster, next.Life)
}
