using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace KvHandoff.Gateway.Tests.Discovery;

/// <summary>A real etcd on free ports of loopback, with its data in a temporary folder.</summary>
internal sealed class EtcdServer : IAsyncDisposable
{
    private readonly Process _process;
    private readonly string _folder;

    private EtcdServer(Process process, string folder, Uri address) => (_process, _folder, Address) = (process, folder, address);

    internal Uri Address { get; }

    /// <summary>Starts it; null with the reason where there is none.</summary>
    internal static async Task<(EtcdServer? Server, string Reason)> StartAsync()
    {
        string folder = Directory.CreateTempSubdirectory("kvhandoff-etcd-").FullName;
        int client = FreePort(), peer = FreePort();
        var address = new Uri(string.Create(CultureInfo.InvariantCulture, $"http://127.0.0.1:{client}/"));
        string peers = string.Create(CultureInfo.InvariantCulture, $"http://127.0.0.1:{peer}");
        var start = new ProcessStartInfo("etcd") { RedirectStandardOutput = true, RedirectStandardError = true, UseShellExecute = false };
        foreach (string argument in (string[])["--data-dir", folder, "--listen-client-urls", address.ToString().TrimEnd('/'), "--advertise-client-urls", address.ToString().TrimEnd('/'),
            "--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers, "--initial-cluster", "default=" + peers, "--log-level", "error"]) start.ArgumentList.Add(argument);
        Process process;
        try
        {
            process = Process.Start(start)!;
        }
        catch (System.ComponentModel.Win32Exception e)
        {
            Directory.Delete(folder, recursive: true);
            return (null, e.Message);
        }

        process.OutputDataReceived += (_, _) => { };
        process.ErrorDataReceived += (_, _) => { };
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        using var http = new HttpClient();
        for (int i = 0; i < 600; i++)
        {
            try
            {
                if ((await http.GetStringAsync(new Uri(address, "health"))).Contains("true", StringComparison.Ordinal)) return (new EtcdServer(process, folder, address), "");
            }
            catch (HttpRequestException)
            {
                // Not yet.
            }

            Assert.False(process.HasExited, "etcd ended.");
            await Task.Delay(50);
        }

        process.Kill();
        throw new TimeoutException("etcd does not serve.");
    }

    public async ValueTask DisposeAsync()
    {
        _process.Kill();
        await _process.WaitForExitAsync();
        _process.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
