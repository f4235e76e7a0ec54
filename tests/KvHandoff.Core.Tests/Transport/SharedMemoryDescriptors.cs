namespace KvHandoff.Core.Tests.Transport;

/// <summary>The descriptors that this process holds.</summary>
internal static class SharedMemoryDescriptors
{
    /// <summary>How many lead to a memfd of this name.</summary>
    internal static int Named(string name) => Directory.GetFileSystemEntries("/proc/self/fd").Count(fd => TargetOf(fd).Contains(name, StringComparison.Ordinal));

    private static string TargetOf(string fd)
    {
        try
        {
            return File.ResolveLinkTarget(fd, false)?.FullName ?? "";
        }
        catch (IOException)
        {
            return ""; // closed meanwhile
        }
    }
}
