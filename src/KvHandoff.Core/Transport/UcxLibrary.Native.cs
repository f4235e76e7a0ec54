using System.Globalization;
using System.Runtime.InteropServices;

namespace KvHandoff.Transport;

/// <summary>
/// UCX as it is installed here: <c>libucp.so.0</c>, or what KVHANDOFF_UCX names, looked for when the first <c>ucx</c> endpoint is used. Nothing of this library needs it before.
/// </summary>
internal static unsafe partial class UcxLibrary
{
    internal const string FileName = "libucp.so.0";

    /// <summary>The environment variable that names another file, for a UCX that the loader does not find by itself.</summary>
    internal const string Variable = "KVHANDOFF_UCX";

    // Active messages with an eager flag, and request parameters as they are since.
    internal const uint Major = 1, OldestMinor = 13;

    private static readonly Lazy<(nint Handle, string Version, string? Missing)> Loaded = new(Load);

    /// <summary>Why UCX cannot be used here; null when it can.</summary>
    internal static string? Missing => Loaded.Value.Missing;

    /// <summary>The version that was found, such as 1.13.1; empty when there is none.</summary>
    internal static string Version => Loaded.Value.Version;

    /// <summary>The address of one of its functions.</summary>
    internal static nint Export(string name) => NativeLibrary.GetExport(Loaded.Value.Handle, name);

    /// <summary>UCX's words for a status.</summary>
    internal static string Text(int status)
    {
        var describe = (delegate* unmanaged[Cdecl]<int, byte*>)Export("ucs_status_string");
        return Marshal.PtrToStringUTF8((nint)describe(status)) ?? status.ToString(CultureInfo.InvariantCulture);
    }

    private static (nint, string, string?) Load()
    {
        if (!OperatingSystem.IsLinux() || nint.Size != 8) return (0, "", "UCX runs on 64-bit Linux alone");
        // Read when the library is loaded. Its handlers would take the faults that this runtime makes exceptions of; its log goes to the standard output.
        _ = SetEnvironment("UCX_ERROR_SIGNALS", "", 0);
        _ = SetEnvironment("UCX_LOG_LEVEL", "fatal", 0);
        string file = Environment.GetEnvironmentVariable(Variable) is { Length: > 0 } named ? named : FileName;
        if (!NativeLibrary.TryLoad(file, out nint handle))
            return (0, "", $"{file} is not installed; the package is libucx0 on Debian and Ubuntu, ucx on Fedora and RHEL, and {Variable} names a file elsewhere");
        uint major, minor, release;
        ((delegate* unmanaged[Cdecl]<uint*, uint*, uint*, void>)NativeLibrary.GetExport(handle, "ucp_get_version"))(&major, &minor, &release);
        string version = string.Create(CultureInfo.InvariantCulture, $"{major}.{minor}.{release}");
        return (handle, version, major == Major && minor >= OldestMinor ? null : $"{file} is UCX {version}; {Major}.{OldestMinor} or newer of the same major version is needed");
    }

    [LibraryImport("libc", EntryPoint = "open_memstream")]
    internal static partial nint OpenMemoryStream(byte** text, nuint* length);

    [LibraryImport("libc", EntryPoint = "fclose")]
    internal static partial int CloseStream(nint stream);

    [LibraryImport("libc", EntryPoint = "setenv", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int SetEnvironment(string name, string value, int overwrite);
}
