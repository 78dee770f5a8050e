package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"neutrino/lab"
	"neutrino/lab/check"
)

// checkCommand is `neutrino lab check`: it takes the lab's own flags.
func checkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check [ROW...]",
		Short: "Walk the seed's rows on the running lab, each by looking at it or by traffic",
		Long: "Prints one line for each row: its id, ok or failed, the seed's line, the command that shows it and what was seen.\n" +
			"With ids, tries those rows only. The exit code is 1 when a row failed.",
		RunE: func(cmd *cobra.Command, ids []string) error {
			var s lab.Settings
			var format string
			for name, value := range map[string]*string{"name": &s.Name, "dir": &s.Dir, "cache": &s.Cache, "output": &format} {
				*value = cmd.Flag(name).Value.String()
			}
			l, err := lab.New(cmd.Context(), s)
			if err != nil {
				return err
			}
			var results []check.Result
			report := check.Print(cmd.OutOrStdout())
			if format == "json" {
				report = func(r check.Result) { results = append(results, r) }
			}
			total := 0
			failed, err := check.Run(cmd.Context(), l, ids, func(r check.Result) {
				total++
				report(r)
			})
			if format == "json" {
				e := json.NewEncoder(cmd.OutOrStdout())
				e.SetIndent("", "  ")
				err = errors.Join(err, e.Encode(results))
			} else {
				fmt.Fprintf(cmd.OutOrStdout(), "%d of %d rows hold\n", total-failed, total)
			}
			if failed > 0 {
				err = errors.Join(err, fmt.Errorf("%d rows failed", failed))
			}
			return err
		},
	}
}
