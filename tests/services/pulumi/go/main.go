// A plugin over the framework that Pulumi's own plugins in Go are written with, pulumi-command among them.
//
// File keeps a text in a file. The file's path replaces; a token is a secret that ends up in the file; Update and
// Delete are what they say. There is no Read: the framework answers that what was recorded still is.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"
)

type File struct{}

type FileArgs struct {
	Path       string            `pulumi:"path" provider:"replaceOnChanges"`
	Content    string            `pulumi:"content"`
	Token      *string           `pulumi:"token,optional" provider:"secret"`
	Labels     map[string]string `pulumi:"labels,optional"`
	WaitMillis *int              `pulumi:"waitMillis,optional"`
}

type FileState struct {
	FileArgs
	Size int `pulumi:"size"`
}

func write(args FileArgs) (FileState, error) {
	text := args.Content
	if args.Token != nil {
		text += "\ntoken=" + *args.Token
	}
	if args.WaitMillis != nil {
		time.Sleep(time.Duration(*args.WaitMillis) * time.Millisecond)
	}
	if err := os.WriteFile(args.Path, []byte(text), 0o600); err != nil {
		return FileState{}, err
	}
	return FileState{FileArgs: args, Size: len(text)}, nil
}

func (File) Create(ctx context.Context, name string, args FileArgs, preview bool) (string, FileState, error) {
	if preview {
		return "", FileState{FileArgs: args}, nil
	}
	if _, err := os.Stat(args.Path); err == nil {
		return "", FileState{}, fmt.Errorf("%s already exists", args.Path)
	}
	state, err := write(args)
	return args.Path, state, err
}

func (File) Update(ctx context.Context, id string, olds FileState, news FileArgs, preview bool) (FileState, error) {
	if preview {
		return FileState{FileArgs: news}, nil
	}
	return write(news)
}

func (File) Delete(ctx context.Context, id string, state FileState) error {
	err := os.Remove(id)
	if os.IsNotExist(err) {
		return nil
	}
	return err
}

func main() {
	err := p.RunProvider("gofiles", "0.1.0", infer.Provider(infer.Options{
		Resources: []infer.InferredResource{infer.Resource[File, FileArgs, FileState]()},
	}))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
