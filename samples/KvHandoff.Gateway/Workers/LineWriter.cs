using System.IO.Pipelines;
using System.Text.Json;

namespace KvHandoff.Gateway.Workers;

/// <summary>Writes lines of JSON; several that are there at once leave together.</summary>
internal sealed class LineWriter(PipeWriter output) : IDisposable
{
    private static readonly byte[] NewLine = "\n"u8.ToArray();

    private readonly Utf8JsonWriter _json = new(output, new JsonWriterOptions { SkipValidation = true });

    /// <summary>Adds a line.</summary>
    public void Write<T>(T value)
    {
        _json.Reset(output);
        JsonSerializer.Serialize(_json, value, WorkerWire.Json);
        _json.Flush();
        Write(NewLine);
    }

    /// <summary>Adds an empty line: the worker lives.</summary>
    public void Beat() => Write(NewLine);

    /// <summary>Sends what was added.</summary>
    /// <exception cref="OperationCanceledException">The reader is gone.</exception>
    public async ValueTask FlushAsync(CancellationToken cancellationToken)
    {
        FlushResult result = await output.FlushAsync(cancellationToken);
        if (result.IsCompleted) throw new OperationCanceledException("The reader is gone.");
    }

    public void Dispose() => _json.Dispose();

    private void Write(byte[] bytes)
    {
        bytes.CopyTo(output.GetSpan(bytes.Length));
        output.Advance(bytes.Length);
    }
}
