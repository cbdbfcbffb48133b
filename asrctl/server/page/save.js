// A transcript leaves the page: copied, or as a file that the server's own code renders.

export async function copyText(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea"); // where the page is not a secure context
  area.value = text;
  document.body.append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  if (!copied) throw new Error("the browser does not let this page copy");
}

// request: fetch with the key. format: txt, srt, vtt or json. transcript: see POST /render.
export async function saveFile(request, format, transcript) {
  const body = JSON.stringify(transcript);
  const answer = await request(`/render?format=${format}`, { method: "POST", body });
  if (!answer.ok) throw new Error((await answer.text()).trim());
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await answer.blob());
  link.download = `transcript-${new Date().toISOString().slice(0, 19).replaceAll(":", "")}.${format}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
