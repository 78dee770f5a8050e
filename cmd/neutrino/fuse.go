package main

import (
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"neutrino/agent"
	"neutrino/config"
	"neutrino/feed"
	"neutrino/view/fuse"
)

// viewFile is where an agent keeps its last view.
func viewFile(state string) string { return filepath.Join(state, "view.json") }

// fuseOptions are when an agent holds a view.
var fuseOptions = []config.Option{
	{Section: "neutrino", Name: "fuse_share", Default: "30", Help: "percent of what serves on this host that a view may end without a request behind it; what is more is held until somebody runs neutrino agent release; 0 holds nothing", Check: config.Number},
	{Section: "neutrino", Name: "fuse_minimum", Default: "5", Help: "objects that a view ends at least when it is held", Check: positive},
	{Section: "neutrino", Name: "kept_views", Default: "5", Help: "views of before that are kept beside the last one, at most one in ten minutes; 0 for none", Check: config.Number},
}

// fuseSettings is what the options say.
func fuseSettings(v *config.Values) fuse.Settings {
	return fuse.Settings{Share: v.Int("neutrino", "fuse_share"), Minimum: v.Int("neutrino", "fuse_minimum")}
}

// keptViews is kept_views as the feed takes it.
func keptViews(v *config.Values) int {
	if n := v.Int("neutrino", "kept_views"); n > 0 {
		return n
	}
	return -1
}

func releaseCommand() *cobra.Command {
	var state string
	var yes bool
	cmd := &cobra.Command{
		Use:   "release",
		Short: "List what the fuse of this host holds, and with --yes end it",
		Long: "The fuse holds what serves on this host when a view of the server lacks much of it and nobody is known to\n" +
			"have asked for that. Look at the server and its store first. When the view is right, --yes ends what is held.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out, socket := cmd.OutOrStdout(), agent.SocketPath(state)
			s, err := agent.ReadStatus(cmd.Context(), socket)
			if err != nil {
				return noAgent(err, state)
			}
			if s.Fuse == nil {
				fmt.Fprintln(out, "the fuse holds nothing")
				return nil
			}
			printHeld(out, s.Fuse, len(s.Fuse.Objects))
			if !yes {
				fmt.Fprintln(out, "nothing is released; --yes ends all of it")
				return nil
			}
			if err := agent.Release(cmd.Context(), socket, len(s.Fuse.Objects)); err != nil {
				return err
			}
			fmt.Fprintf(out, "released: %d objects end now\n", len(s.Fuse.Objects))
			return nil
		},
	}
	stateFlag(cmd, &state)
	cmd.Flags().BoolVar(&yes, "yes", false, "end what is listed")
	return cmd
}

// shownHeld is how many objects a status names.
const shownHeld = 10

// printHeld writes what a fuse holds, at most so many objects of it.
func printHeld(w io.Writer, h *agent.HeldStatus, most int) {
	asked := ""
	if h.Asked {
		asked = "; the server has not said yet whether somebody asked for that"
	}
	fmt.Fprintf(w, "HELD      %d of %d objects that serve, since %s: the server's view lacks them%s\n",
		len(h.Objects), h.Served, h.Since.Format(time.DateTime), asked)
	for n, o := range h.Objects {
		if n == most {
			fmt.Fprintf(w, "held      and %d more; neutrino agent release lists all\n", len(h.Objects)-most)
			break
		}
		fmt.Fprintf(w, "held      %s: %s\n", o.Object, o.Reason)
	}
	for _, o := range h.Waiting {
		fmt.Fprintf(w, "waits     %s: %s\n", o.Object, o.Reason)
	}
	fmt.Fprintf(w, "          when the view is right: %s; views of before: neutrino agent views\n", h.Release)
}

func viewsCommand() *cobra.Command {
	var state, format string
	cmd := &cobra.Command{
		Use:   "views",
		Short: "List the last views that this host has acted on and keeps on its disk",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := feed.StoredViews(cmd.Context(), viewFile(state))
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if format == "json" {
				return printJSON(out, list)
			}
			for _, v := range list {
				switch {
				case v.Problem != "":
					fmt.Fprintf(out, "%s  %s\n", v.File, v.Problem)
				case v.Held > 0:
					fmt.Fprintf(out, "%s  revision %d, %s: %s, and %d rows of before held\n", v.File, v.Revision, v.Taken.Local().Format(time.DateTime), v.Summary(), v.Held)
				default:
					fmt.Fprintf(out, "%s  revision %d, %s: %s\n", v.File, v.Revision, v.Taken.Local().Format(time.DateTime), v.Summary())
				}
			}
			return nil
		},
	}
	stateFlag(cmd, &state)
	cmd.Flags().StringVarP(&format, "output", "o", "text", "text or json")
	return cmd
}
