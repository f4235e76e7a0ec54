using System.Text.Json;

namespace KvHandoff.Model.Checkpoint;

/// <summary>Reads a JSON object from a file whose size is bounded before it is read.</summary>
internal static class BoundedJson
{
    internal static JsonDocument Read(string path, long maxBytes)
    {
        JsonDocument document;
        try
        {
            using FileStream stream = File.OpenRead(path);
            if (stream.Length > maxBytes) throw new CheckpointException(path, "file", $"at most {maxBytes} bytes", $"{stream.Length} bytes");
            document = JsonDocument.Parse(stream, new JsonDocumentOptions { MaxDepth = 16 });
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new CheckpointException(path, "file", "a readable file", e.Message, inner: e);
        }
        catch (JsonException e)
        {
            throw new CheckpointException(path, "file", "JSON", e.Message, e.BytePositionInLine, e);
        }

        if (document.RootElement.ValueKind == JsonValueKind.Object) return document;
        string kind = $"{document.RootElement.ValueKind}";
        document.Dispose();
        throw new CheckpointException(path, "file", "a JSON object", kind);
    }
}
