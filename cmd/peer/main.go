// Command peer is Braidway's one binary: it publishes, relays and plays live
// streams, and runs the demo. Each subcommand has a thin file of its own.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/braidway/braidway/sim/stack"
)

// Exit statuses; CLI users rely on them.
const (
	exitDone = iota
	exitFailed
	exitUsage
	exitNotFound
)

// usageError is a mistake of the caller: nothing was started.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// notFoundError says that something was not found or not reachable in time.
type notFoundError struct{ error }

func (e notFoundError) Unwrap() error { return e.error }

func main() {
	stack.Main() // in the child of a full-stack simulation, this is all
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	ctx, stop := signals()
	defer stop()
	root := newRoot()
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitDone
	}
	fmt.Fprintf(os.Stderr, "%s: %v\n", cmd.CommandPath(), err)
	var usage usageError
	var missing notFoundError
	switch {
	case errors.As(err, &usage):
		fmt.Fprintf(os.Stderr, "See %s --help\n", cmd.CommandPath())
		return exitUsage
	case errors.As(err, &missing):
		return exitNotFound
	}
	return exitFailed
}

// signals returns a context that ends with the first SIGINT or SIGTERM; the
// second ends the process at once. A reader of standard output that goes away
// is an error of writing, so that children are handed over then too.
func signals() (context.Context, func()) {
	signal.Ignore(syscall.SIGPIPE)
	ctx, cancel := context.WithCancel(context.Background())
	c := make(chan os.Signal, 2)
	signal.Notify(c, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		<-c
		cancel()
		<-c
		os.Exit(exitFailed)
	}()
	return ctx, func() { signal.Stop(c); cancel() }
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "peer",
		Short:         "Live streams from viewer to viewer",
		Long:          "peer publishes, relays and plays live streams that travel through the viewers themselves.",
		Example:       "  peer demo\n  peer publish test:\n  peer play 'braidway://…' -o - | ffplay -",
		SilenceErrors: true, SilenceUsage: true,
		Args: cobra.ArbitraryArgs, RunE: group,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(demoCommand(), publishCommand(), relayCommand(), playCommand(), bootstrapCommand(), simCommand(),
		statusCommand(), topCommand(), doctorCommand(), drainCommand(), keyCommand(), tokenCommand(), configCommand(), versionCommand())
	root.SetHelpCommand(helpCommand())
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		if cmd.Name() == "completion" {
			cmd.Example = "  source <(peer completion bash)\n  peer completion zsh > \"${fpath[1]}/_peer\""
			cmd.Args, cmd.RunE = cobra.ArbitraryArgs, group
		}
	}
	return root
}

// group is what a command does that only has commands below it: it helps.
func group(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	var known []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			known = append(known, c.Name())
		}
	}
	return usagef("unknown command %q; known are %s", args[0], strings.Join(known, ", "))
}

func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND]", Short: "Help about a command", Example: "  peer help play\n  peer help key new",
		RunE: func(cmd *cobra.Command, args []string) error {
			about, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return usagef("unknown command %q", strings.Join(args, " "))
			}
			return about.Help()
		},
	}
}

// exactly is cobra.ExactArgs as a usage error that names what is missing.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return usagef("%s is missing", names[len(args)])
		case len(args) > len(names):
			return usagef("unexpected argument %q", args[len(names)])
		}
		return nil
	}
}
